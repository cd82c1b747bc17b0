"""A proxy in the environment is for other traffic: connections between hub and backends pass it by, unless told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.rig import BACKENDS, free_port, port_of
from tests.support.proxies import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

NAMES = ["HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "grpc_proxy", "http_proxy", "https_proxy"]
ANSWERS = {"application_sets": ["fb-*"], "answers": [{"parameters": [{"from": "files"}]}]}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


def dialled(rig: Rig, proxy: Proxy, **settings: bool) -> tuple[Hub, int]:
    """A hub with the proxy in its environment, and the port of the backend that it dials."""
    port = port_of(rig.sdk("images", None, "--listen", "127.0.0.1:0"))
    rig.configure(
        backends=[{"name": "images", "address": f"127.0.0.1:{port}", "application_sets": ["fb-*"]}], **settings
    )
    hub = rig.hub(env=proxy.environment)
    hub.joined("images")
    return hub, port


def test_a_hub_dials_past_the_proxy_and_says_so_once_without_its_secrets(rig: Rig, proxy: Proxy) -> None:
    hub, _ = dialled(rig, proxy)
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    event = hub.event("proxy_ignored", level="info")
    assert event["variables"] == NAMES
    assert "proxy_from_environment: true" in event["hint"]
    assert hub.output.count("proxy_ignored") == 1
    assert "hunter2" not in hub.output
    assert proxy.asked == []


def test_a_hub_that_is_told_so_dials_through_the_proxy(rig: Rig, proxy: Proxy) -> None:
    hub, port = dialled(rig, proxy, proxy_from_environment=True)
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    assert set(proxy.asked) == {f"CONNECT 127.0.0.1:{port} HTTP/1.1"}
    assert "proxy_ignored" not in hub.output


def test_that_it_needs_a_restart_is_said(rig: Rig, proxy: Proxy) -> None:
    hub, _ = dialled(rig, proxy)
    rig.configure(backends=[{"name": "images", "address": "127.0.0.1:1"}], proxy_from_environment=True)
    assert hub.event("configuration_reloaded")["needs_restart"] == ["proxy_from_environment"]


@pytest.mark.parametrize("way", ["attached", "registered"])
def test_a_backend_on_the_sdk_connects_past_the_proxy_and_says_so(rig: Rig, proxy: Proxy, way: str) -> None:
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*"], addresses=["127.0.0.1:*"])])
    hub = rig.hub()
    backend = started(rig, hub, proxy, way)
    hub.joined("images")
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    said = backend.says("connecting to the hub directly: ")
    assert f"{', '.join(NAMES)} are ignored; to use the proxy, set proxy_from_environment" in said
    assert backend.output.count("connecting to the hub directly") == 1
    assert "hunter2" not in backend.output
    assert proxy.asked == []


def started(rig: Rig, hub: Hub, proxy: Proxy, way: str) -> Process:
    where: list[object] = []
    if way == "registered":
        address = f"127.0.0.1:{free_port()}"
        where = ["--listen", address, "--address", address]
    command = [sys.executable, BACKENDS / "sdk_backend.py", "--name", "images", "--hub", hub.grpc_address]
    token = ["--token-file", rig.folder / "tokens" / "images", "--application-sets", "fb-*"]
    return rig.start(*command, *token, *where, env=proxy.environment)


@pytest.mark.parametrize("told", [False, True], ids=["by default", "told to use it"])
def test_a_bundled_backend_uses_the_proxy_only_when_told(rig: Rig, proxy: Proxy, *, told: bool) -> None:
    rig.configure(backends=[rig.backend("files", application_sets=["fb-*"])])
    hub = rig.hub()
    flags = ("--proxy-from-environment",) if told else ()
    options = ("--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / "files", *flags)
    backend = rig.static("files", ANSWERS, *options, env=proxy.environment)
    hub.joined("files")
    assert hub.ask("fb-1").sets == [{"from": "files"}]
    assert bool(proxy.asked) is told
    assert ("are ignored" in backend.output) is not told

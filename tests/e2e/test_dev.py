"""A hub without tokens does not start, but for the loud exception on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.support.rig import Rig

ANY_PORT = [part for port in ("--http", "--grpc", "--admin") for part in (port, "127.0.0.1:0")]


def test_without_any_token_the_hub_does_not_start(rig: Rig) -> None:
    done = rig.command("serve", *ANY_PORT)
    assert done.code == 2
    assert "clients: at least one client is required, or nothing can call the hub" in done.err


def test_dev_starts_on_loopback_without_any_file(rig: Rig) -> None:
    hub = rig.dev_hub(*ANY_PORT)
    backend = rig.sdk("anybody", None, "--hub", hub.grpc_address, "--application-sets", "fb-*")
    backend.says("attached to hub")
    assert hub.ask("fb-1", token=None).sets == [{"from": "anybody"}]
    assert "WARNING: --dev" in hub.output
    assert list(rig.folder.iterdir()) == [rig.folder / "tokens"], "it needs no file, and leaves none"


@pytest.mark.parametrize("port", ["http", "grpc", "admin"])
def test_dev_refuses_other_addresses(rig: Rig, port: str) -> None:
    done = rig.command("serve", "--dev", f"--{port}", "0.0.0.0:0")
    assert done.code == 2, done
    [line] = [line for line in done.err.splitlines() if "WARNING" not in line]
    assert f"--{port}: with --dev the hub listens on loopback only" in line


def test_dev_takes_addresses_that_the_file_does_not_have_on_loopback(rig: Rig) -> None:
    rig.token("argocd")
    (rig.folder / "small.yaml").write_text("clients: [{name: argocd, tokens: [{file: tokens/argocd}]}]\n")
    done = rig.command("config", "show", "--config", "small.yaml", "--json")
    assert done.json["listen"]["http"] == ":4355"
    taken = rig.dev_hub(*ANY_PORT)
    ports = ("--http", f"127.0.0.1:{taken.http}", *ANY_PORT[2:])
    done = rig.command("serve", "--dev", "--config", "small.yaml", *ports)
    assert done.code == 1, done
    assert f"cannot listen on 127.0.0.1:{taken.http}: port {taken.http} is already in use (--http)" in done.err
    assert "loopback only" not in done.err

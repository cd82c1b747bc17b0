"""The move of `docs/migrate.md`, with its own files: the documentation's sample behind a real hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends.http_plugin.backend import HttpPluginBackend
from tests.backends.oci_rig import documented
from tests.backends.plugin_rig import TOKEN, RawPlugin, configure, documentation, sample
from tests.e2e.support.processes import COMMANDS
from tests.e2e.support.rig import CLIENT_TOKEN, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
BASE_URL = "http://myplugin.plugin-ns.svc.cluster.local"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


async def test_the_sample_answers_as_before_after_the_three_steps(rig: Rig) -> None:
    page = documentation()
    for name, secret in (("argocd", CLIENT_TOKEN), ("myplugin", "other"), ("plugin", TOKEN)):
        (rig.folder / f"{name}.token").write_text(secret)
    async with sample(page, rig.folder) as base_url:
        rig.write(documented(DOCS / "migrate.md", "hub.yaml"))
        ports = [part for port in ("http", "grpc", "admin") for part in (f"--{port}", "127.0.0.1:0")]
        hub = rig.hub(*ports)
        written = documented(DOCS / "migrate.md", "http-plugin.yaml")
        assert written.count(BASE_URL) == 1
        (rig.folder / "http-plugin.yaml").write_text(written.replace(BASE_URL, base_url))
        options = ("--config", "http-plugin.yaml", "--hub", hub.grpc_address, "--token-file", "myplugin.token")
        rig.start(COMMANDS / "appset-hub-backend", "http-plugin", "--name", "myplugin", *options)
        hub.joined("myplugin")
        reply = hub.ask("myplugin", {"key1": "value1"})
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "output": {"parameters": [{"key1": "val1", "key2": "val2"}, {"key1": "val2", "key2": "val2"}]}
    }


async def test_a_plugin_that_is_not_ready_is_the_same_503_each_time_with_its_retry_after(rig: Rig) -> None:
    plugin = RawPlugin()
    async with plugin.serving():
        configure(rig.folder, f"http://127.0.0.1:{plugin.port}", "application_sets: [myplugin]\n")
        rig.configure(backends=[rig.backend("myplugin", application_sets=["*"])])
        hub = rig.hub()
        options = ("--config", "http-plugin.yaml", "--hub", hub.grpc_address, "--token-file", "tokens/myplugin")
        rig.start(COMMANDS / "appset-hub-backend", "http-plugin", "--name", "myplugin", *options)
        await asyncio.to_thread(hub.joined, "myplugin")
        bodies = []
        for request, header in (("7f3a9c", "Retry-After: 7"), ("b21d04", "Retry-After: 86400")):
            said = f'{{"error":"too many (request {request})"}}'
            head = f"HTTP/1.1 429 Slow\r\nContent-Length: {len(said)}\r\nConnection: close\r\n{header}\r\n\r\n"
            plugin.response = (head + said).encode()
            reply = await asyncio.to_thread(hub.ask, "myplugin")
            bodies.append((reply.status, reply.headers["retry-after"], reply.body))
    message = b'{"message":"backend \\"myplugin\\" is not ready: the plugin answered with status 429",'
    body = message + b'"error":"backend_not_ready"}'
    assert bodies == [(503, "7", body), (503, "3600", body)]


def test_the_configuration_of_the_documentation_is_taken(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    path = tmp_path / "http-plugin.yaml"
    path.write_text(documented(DOCS / "backends" / "http-plugin.md", "http-plugin.yaml"))
    assert HttpPluginBackend.open(path).application_sets == ("myplugin",)

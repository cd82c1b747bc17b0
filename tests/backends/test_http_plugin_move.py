"""The move of `docs/migrate.md`, with its own files: the documentation's sample behind a real hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends.http_plugin.backend import HttpPluginBackend
from tests.backends.oci_rig import documented
from tests.backends.plugin_rig import TOKEN, documentation, sample
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


def test_the_configuration_of_the_documentation_is_taken(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    path = tmp_path / "http-plugin.yaml"
    path.write_text(documented(DOCS / "backends" / "http-plugin.md", "http-plugin.yaml"))
    assert HttpPluginBackend.open(path).application_sets == ("myplugin",)

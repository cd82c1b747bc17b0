"""A new configuration reaches every part of a running hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hub.config.load import Source, load
from hub.main.wiring import Hub
from tests.support.certificates import Authority
from tests.support.http import BODY, PATH, TOKEN, Wire, post
from tests.support.rpc import RawBackend, serving

if TYPE_CHECKING:
    from pathlib import Path

    from hub.core.settings import Settings
    from tests.support.http import Reply

LISTEN = (
    "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nstore: 'memory:'\nlog: {level: error}\n"
)
CLIENT = "clients: [{name: argocd, tokens: [{file: token}]}]\nguard: {mode: 'off'}\nwait_for_absent: 5s\n"


def settings(folder: Path, text: str) -> Settings:
    (folder / "token").write_text(TOKEN)
    (folder / "hub.yaml").write_text(LISTEN + CLIENT + text)
    return load(Source(path=folder / "hub.yaml"), {})


async def ask(hub: Hub) -> Reply:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", hub.http_port))
    try:
        return await wire.ask(post(BODY, path=PATH))
    finally:
        wire.writer.close()


def dialled(port: int, more: str = "") -> str:
    return f"backends: [{{name: legacy, address: '127.0.0.1:{port}', application_sets: ['*']{more}}}]\n"


async def test_a_backend_that_a_reload_brings_is_dialled_as_the_reload_says(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    (tmp_path / "call").write_text("hub-token")
    backend = RawBackend()
    async with (
        serving(backend, credentials=authority.server("127.0.0.1", clients=False)) as port,
        Hub(settings(tmp_path, "")) as hub,
    ):
        assert (await ask(hub)).status == 404
        hub.apply(settings(tmp_path, dialled(port, ", call_tls: {ca: ca.pem}, call_token: {file: call}")))
        assert (await ask(hub)).status == 200
    assert backend.metadata["authorization"] == "Bearer hub-token"


async def test_a_token_that_a_reload_changes_is_shown_to_a_dialled_backend(tmp_path: Path) -> None:
    (tmp_path / "call").write_text("old-token")
    backend = RawBackend()
    async with serving(backend) as port:
        text = dialled(port, ", call_token: {file: call}")
        async with Hub(settings(tmp_path, text)) as hub:
            assert (await ask(hub)).status == 200
            assert backend.metadata["authorization"] == "Bearer old-token"
            (tmp_path / "call").write_text("new-token")
            hub.apply(settings(tmp_path, text))
            assert (await ask(hub)).status == 200
    assert backend.metadata["authorization"] == "Bearer new-token"


async def test_a_reload_says_what_needs_a_restart(tmp_path: Path) -> None:
    async with Hub(settings(tmp_path, "")) as hub:
        assert hub.apply(settings(tmp_path, "")) == ()
        assert hub.apply(settings(tmp_path, "limits: {max_sets: 7}\n")) == ("limits",)

"""A new configuration reaches every part of a running hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

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
        await hub.apply(settings(tmp_path, dialled(port, ", call_tls: {ca: ca.pem}, call_token: {file: call}")))
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
            await hub.apply(settings(tmp_path, text))
            assert (await ask(hub)).status == 200
    assert backend.metadata["authorization"] == "Bearer new-token"


async def test_a_reload_says_what_needs_a_restart(tmp_path: Path) -> None:
    async with Hub(settings(tmp_path, "")) as hub:
        assert await hub.apply(settings(tmp_path, "")) == ()
        assert await hub.apply(settings(tmp_path, "limits: {max_sets: 7}\n")) == ("limits",)


TLS = "tls: {grpc: {certificate: cert.pem, key: key.pem}, http: {certificate: cert.pem, key: key.pem}}\n"
MUTUAL = TLS.replace("key: key.pem}", "key: key.pem, client_ca: ca.pem}")


@pytest.mark.parametrize(
    ("before", "after", "fixed"),
    [
        pytest.param("", "drain: {delay: 9s}\n", ("drain",), id="drain"),
        pytest.param("", "dial: {max_addresses: 9}\n", ("dial",), id="dial"),
        pytest.param("", TLS, ("tls.grpc",), id="TLS on"),
        pytest.param(TLS, "", ("tls.grpc",), id="TLS off"),
        pytest.param(TLS, MUTUAL, ("tls.grpc.client_ca",), id="client certificates on"),
        pytest.param(MUTUAL, TLS, ("tls.grpc.client_ca",), id="client certificates off"),
        pytest.param(MUTUAL, MUTUAL.replace("ca.pem", "next.pem"), (), id="another client CA"),
    ],
)
async def test_what_a_running_hub_cannot_take_is_named_and_shown_until_it_is_as_before(
    tmp_path: Path, before: str, after: str, fixed: tuple[str, ...]
) -> None:
    authority = Authority()
    key, chain = authority.pair("localhost")
    for name, content in {"key": key, "cert": chain, "ca": authority.ca_pem, "next": Authority().ca_pem}.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    async with Hub(settings(tmp_path, before)) as hub:
        assert await hub.apply(settings(tmp_path, after)) == fixed
        assert hub.readiness.needs_restart == fixed
        assert await hub.apply(settings(tmp_path, before)) == ()
        assert hub.readiness.needs_restart == ()


async def test_a_changed_listen_address_is_named_by_its_port(tmp_path: Path) -> None:
    async with Hub(settings(tmp_path, "")) as hub:
        changed = settings(tmp_path, "")
        text = (tmp_path / "hub.yaml").read_text().replace("grpc: '127.0.0.1:0'", "grpc: '127.0.0.1:1'")
        (tmp_path / "hub.yaml").write_text(text.replace("level: error", "level: warning"))
        changed = load(Source(path=tmp_path / "hub.yaml"), {})
        assert await hub.apply(changed) == ("listen.grpc", "log.level")


async def test_backends_still_connect_over_tls_when_a_reload_takes_tls_away(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    key, chain = authority.pair("localhost")
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(chain)
    async with Hub(settings(tmp_path, TLS)) as hub:
        await hub.apply(settings(tmp_path, ""))
        credentials = grpc.ssl_channel_credentials(authority.ca_pem)
        async with grpc.aio.secure_channel(f"localhost:{hub.rpc.port}", credentials) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert "Failed fetching new server credentials" not in capfd.readouterr().err


async def test_the_clients_that_a_reload_brings_close_a_hub_for_development(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    path = tmp_path / "hub.yaml"
    path.write_text(LISTEN)
    async with Hub(load(Source(path=path, dev=True), {})) as hub:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", hub.http_port))
        assert (await wire.ask(post(BODY, path=PATH, token="wrong"))).status == 404
        path.write_text(LISTEN + CLIENT)
        await hub.apply(load(Source(path=path, dev=True), {}))
        assert (await wire.ask(post(BODY, path=PATH, token="wrong"))).status == 403
        wire.writer.close()

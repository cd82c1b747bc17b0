"""A process at an address is believed only if it is the backend's; a question that hangs there has no answer."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import grpc
import grpc.aio
import pytest
import trustme
from appset_hub.v1 import backend_pb2, backend_pb2_grpc
from grpc_health.v1 import health_pb2_grpc

from hub.service.ports import Unresolved
from tests.trust.hubs import Site, WallClock, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hub.core.names import HostName
    from tests.trust.wire import Reply

NAME = "images.svc"
ONE, OTHER = "127.0.0.2", "127.0.0.3"


class Names:
    """The resolver of a test: every name has these addresses, or none."""

    def __init__(self) -> None:
        self.hosts: tuple[str, ...] = ()
        self.asked = 0

    async def resolve(self, name: HostName) -> tuple[str, ...]:
        self.asked += 1
        if not self.hosts:
            raise Unresolved("Name or service not known")
        return tuple(f"{host}:{name.port}" for host in self.hosts)


class Backend(backend_pb2_grpc.BackendServiceServicer):
    """Answers with one set of this name, or never."""

    def __init__(self, name: str, *, hangs: bool = False) -> None:
        self._name = name
        self._hangs = hangs

    async def GetParams(self, _request: Any, _context: Any) -> backend_pb2.GetParamsResponse:  # noqa: N802 - the stubs'.
        if self._hangs:
            await asyncio.Event().wait()
        return backend_pb2.GetParamsResponse(parameters_json=json.dumps([{"name": self._name}]).encode())


class Hanging(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # It comes without types.
    """A health service of a process that has come to a stop."""

    async def Check(self, _request: Any, _context: Any) -> None:  # noqa: N802 - the stubs' name.
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(
    backend: Backend, host: str, port: int, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[grpc.aio.Server]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    backend_pb2_grpc.add_BackendServiceServicer_to_server(backend, server)
    if backend._hangs:  # noqa: SLF001 - of this module.
        health_pb2_grpc.add_HealthServicer_to_server(Hanging(), server)
    where = f"{host}:{port}"
    assert server.add_insecure_port(where) if credentials is None else server.add_secure_port(where, credentials)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(None)


@asynccontextmanager
async def dialling(folder: Path, names: Names, port: int, **backend: Any) -> AsyncIterator[Site]:
    """A hub that knows one backend by its name."""
    site = Site(folder, WallClock())
    site.configure(
        backends={"images": {"address": f"{NAME}:{port}", "application_sets": ["c-*"], **backend}},
        dial={"resolve_every": "1s", "check_after": "300ms", "give_up_after": "1s"},
    )
    with mock.patch("hub.main.wiring.SystemResolver", return_value=names):
        await site.start()
    try:
        yield site
    finally:
        await site.stop()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind((ONE, 0))
        found: int = free.getsockname()[1]
        return found


async def ask(site: Site) -> Reply:
    async with site.caller() as caller:
        return await caller.ask("c-one", {})


def states(site: Site) -> dict[str, str]:
    (backend,) = site.hub._overview.backends()  # noqa: SLF001 - what the admin port would show.
    return {one.endpoint.partition(":")[0]: one.state for one in backend.instances}


async def test_an_address_that_dns_gave_to_someone_else_is_not_asked_again(tmp_path: Path, port: int) -> None:
    names = Names()
    names.hosts = (ONE,)
    async with dialling(tmp_path, names, port) as site:
        async with serving(Backend("mine"), ONE, port):
            await until(lambda: states(site) == {ONE: "ready"}, "the backend is there")
            assert (await ask(site)).names == ["mine"]
            names.hosts = (OTHER,)
            await until(lambda: OTHER in states(site), "the hub knows the new address")
            assert (await ask(site)).names == ["mine"], "its connection is still that of the backend"
        async with serving(Backend("stranger"), ONE, port):
            for _ in range(5):
                assert (await ask(site)).status == 503


async def test_whoever_has_no_certificate_for_the_name_is_not_believed(tmp_path: Path, port: int) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    # For the address itself, which a process may be given that belongs to another team.
    certificate = authority.issue_cert(ONE)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), b"".join(one.bytes() for one in certificate.cert_chain_pems))]
    )
    names = Names()
    names.hosts = (ONE,)
    async with (
        serving(Backend("stranger"), ONE, port, credentials),
        dialling(tmp_path, names, port, call_tls={"ca": "ca.pem"}) as site,
    ):
        for _ in range(3):
            assert (await ask(site)).status == 503


async def test_a_question_that_is_given_up_has_no_answer(tmp_path: Path, port: int) -> None:
    names = Names()
    names.hosts = (ONE,)
    async with serving(Backend("mine", hangs=True), ONE, port), dialling(tmp_path, names, port) as site:
        await until(lambda: states(site) == {ONE: "ready"}, "the backend is there")
        reply = await ask(site)
        assert (reply.status, reply.reason) == (503, "backend_unresponsive")


async def test_a_backend_whose_name_is_not_known_takes_nothing_out_of_an_answer(tmp_path: Path, port: int) -> None:
    async with dialling(tmp_path, Names(), port) as site:
        reply = await ask(site)
        assert (reply.status, reply.reason) == (503, "backend_absent")

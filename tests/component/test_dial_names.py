"""Backends behind a name, over real gRPC: several addresses of this machine, and a resolver that a test can change."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import backend_pb2, backend_pb2_grpc
from grpc_health.v1 import health_pb2_grpc

from hub.core.directory import Grant
from hub.core.errors import BackendAbsent
from hub.rpc.dial import ChannelDialler, ChannelTls, DialSecurity
from hub.rpc.link import Patience
from hub.service.names import FollowedNames
from tests.support.certificates import Authority
from tests.support.fakes import FakeResolver
from tests.support.health import Health
from tests.support.rpc import RawBackend
from tests.support.service import Service, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

PATIENCE = Patience(check_after_s=0.3, give_up_s=1.0, answer_s=0.5, retry_s=0.1)


async def once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


class Behind:
    """Backends at addresses of this machine that share a port, and the name that leads to them."""

    def __init__(self, credentials: grpc.ServerCredentials | None) -> None:
        self._credentials = credentials
        self._stack = AsyncExitStack()
        self.port = 0
        self.backends: dict[str, RawBackend] = {}
        self.healths: dict[str, Health] = {}

    async def serve(self, host: str) -> str:
        """Start a backend at one more address; returns it with its port."""
        backend, health = RawBackend(), Health()

        async def says(_request: object, _context: object) -> backend_pb2.GetParamsResponse:
            return backend_pb2.GetParamsResponse(parameters_json=f'[{{"from":"{host}"}}]'.encode())

        backend.behaviour = says
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        backend_pb2_grpc.add_BackendServiceServicer_to_server(backend, server)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        where = f"{host}:{self.port}"
        if self._credentials is None:
            self.port = server.add_insecure_port(where)
        else:
            self.port = server.add_secure_port(where, self._credentials)
        await server.start()
        backend.server = server
        self._stack.push_async_callback(server.stop, None)
        address = f"{host}:{self.port}"
        self.backends[address], self.healths[address] = backend, health
        return address

    async def close(self) -> None:
        await self._stack.aclose()


class Rig:
    """A hub without HTTP that dials one backend by its name."""

    def __init__(self, hub: Service, behind: Behind, resolver: FakeResolver, name: str) -> None:
        self.hub = hub
        self.behind = behind
        self._resolver = resolver
        self._name = name

    def resolves_to(self, *addresses: str) -> None:
        self._resolver.known[self._name] = addresses

    async def asked(self, times: int = 1) -> set[str]:
        """Which addresses answered."""
        return {(await self.hub.ask(f"fb-{number}"))[0]["from"] for number in range(times)}

    def states(self) -> dict[str, str]:
        return {one.endpoint: one.state for one in self.hub.directory.instances("images")}


@asynccontextmanager
async def dialling(
    *hosts: str,
    credentials: grpc.ServerCredentials | None = None,
    tls: ChannelTls | None = None,
    every_s: float = 30.0,
    host: str = "images.svc",
) -> AsyncIterator[Rig]:
    """A hub, and backends at these addresses to which a name resolves."""
    behind = Behind(credentials)
    addresses = [await behind.serve(one) for one in hosts]
    name = f"{host}:{behind.port}"
    resolver = FakeResolver({name: tuple(addresses)})
    clock = asyncio.get_running_loop().time
    security = {"images": DialSecurity(tls=tls)}
    async with (
        ChannelDialler(clock, max_answer_bytes=1024, security=security, patience=PATIENCE) as dialler,
        FollowedNames(resolver, clock, every_s=every_s, keep=once) as names,
    ):
        grants = (Grant(backend="images", application_sets=("*",), configured_address=name),)
        hub = Service(route(deadline_s=20.0), grants=grants, names=names, dialler=dialler)
        hub.membership.configure(grants)
        try:
            yield Rig(hub, behind, resolver, name)
        finally:
            hub.membership.close()
            await behind.close()


async def reached(rig: Rig, *hosts: str) -> None:
    """Wait until every address can be asked, and no other."""
    wanted = {f"{host}:{rig.behind.port}": "ready" for host in hosts}
    async with asyncio.timeout(20):
        while rig.states() != wanted:  # noqa: ASYNC110 - nothing is told when an address is dropped.
            await asyncio.sleep(0.01)


async def test_the_addresses_behind_a_name_share_the_questions() -> None:
    async with dialling("127.0.0.1", "127.0.0.2") as rig:
        await reached(rig, "127.0.0.1", "127.0.0.2")
        replies = await asyncio.gather(*(rig.hub.ask(f"fb-{number}") for number in range(20)))
        assert {reply[0]["from"] for reply in replies} == {"127.0.0.1", "127.0.0.2"}


async def test_an_address_that_is_added_is_found_while_everything_works() -> None:
    async with dialling("127.0.0.1", every_s=1.0) as rig:
        await reached(rig, "127.0.0.1")
        first = next(iter(rig.behind.backends))
        rig.resolves_to(first, await rig.behind.serve("127.0.0.2"))
        await reached(rig, "127.0.0.1", "127.0.0.2")


async def test_a_process_that_moves_is_asked_at_its_new_address_within_two_seconds() -> None:
    async with dialling("127.0.0.1") as rig:
        await reached(rig, "127.0.0.1")
        assert await rig.asked() == {"127.0.0.1"}
        rig.resolves_to(await rig.behind.serve("127.0.0.2"))
        (before, _) = rig.behind.backends.values()
        began_s = rig.hub.now()
        await before.stop()
        assert await rig.asked() == {"127.0.0.2"}, "and nothing fails: the question waits for it"
        assert rig.hub.now() - began_s < 2
        await reached(rig, "127.0.0.2")


async def test_an_address_that_hangs_takes_one_question_and_not_every_second_one() -> None:
    async with dialling("127.0.0.1", "127.0.0.2") as rig:
        await reached(rig, "127.0.0.1", "127.0.0.2")
        address = f"127.0.0.2:{rig.behind.port}"
        rig.behind.backends[address].behaviour, rig.behind.healths[address].answers = hangs, "nothing"
        replies = await asyncio.gather(*(rig.hub.ask(f"fb-{number}") for number in range(10)))
        assert {reply[0]["from"] for reply in replies} == {"127.0.0.1"}, "what hung was moved"
        began_s = rig.hub.now()
        assert await rig.asked(20) == {"127.0.0.1"}
        assert rig.hub.now() - began_s < PATIENCE.check_after_s, "and no other question waits for it"


async def hangs(_request: object, _context: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("named", ["by the address", "by server_name"])
async def test_a_certificate_has_to_be_for_the_name_and_not_for_the_address(named: str) -> None:
    authority = Authority()
    host = "images.svc" if named == "by the address" else "other.svc"
    tls = ChannelTls(ca=authority.ca_pem, server_name="" if named == "by the address" else "images.svc")
    credentials = authority.server("images.svc", clients=False)
    async with dialling("127.0.0.1", credentials=credentials, tls=tls, host=host) as rig:
        await reached(rig, "127.0.0.1")
        assert await rig.asked() == {"127.0.0.1"}


@pytest.mark.parametrize("wrong", ["other.svc", "127.0.0.1"])
async def test_a_certificate_for_something_else_is_not_believed(wrong: str) -> None:
    authority = Authority()
    credentials = authority.server(wrong, clients=False)
    async with dialling("127.0.0.1", credentials=credentials, tls=ChannelTls(ca=authority.ca_pem)) as rig:
        assert isinstance(await rig.hub.refusal(), BackendAbsent)
        (backend,) = rig.behind.backends.values()
        assert backend.requests == []

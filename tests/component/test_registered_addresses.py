"""A backend cannot make the hub connect to the hub's own machine or network, by no spelling and by no name."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hub.core.directory import Grant
from hub.core.events import AddressesForbidden, NameUnresolved
from hub.core.registration import RegistrationError
from hub.rpc.dial import ChannelDialler
from hub.service.names import FollowedNames
from tests.support.fakes import FakeResolver
from tests.support.service import Service, info, route
from tests.unit.test_addresses import DELICATE, NO_ADDRESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path


async def once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


class Listener:
    """A port of this machine on several of its addresses, and who connected to it."""

    def __init__(self) -> None:
        self.port = 0
        self.connected: list[str] = []
        self._stack = AsyncExitStack()
        self._arrival = asyncio.Event()

    async def listen(self, *hosts: str) -> None:
        for host in hosts:
            server = await asyncio.start_server(self._accept, host, self.port)
            self._stack.push_async_callback(self._end, server)
            self.port = server.sockets[0].getsockname()[1]

    async def listen_at(self, path: Path) -> None:
        self._stack.push_async_callback(self._end, await asyncio.start_unix_server(self._accept, path))

    async def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.append(str(writer.get_extra_info("sockname")))
        self._arrival.set()
        writer.close()

    @staticmethod
    async def _end(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    async def arrival(self) -> None:
        async with asyncio.timeout(10):
            await self._arrival.wait()

    async def close(self) -> None:
        await self._stack.aclose()


class Rig:
    """A hub that connects for real, and listens itself where a backend must not send it."""

    def __init__(self, hub: Service, resolver: FakeResolver, listener: Listener) -> None:
        self.hub = hub
        self.resolver = resolver
        self.listener = listener

    async def register(self, address: str) -> None:
        await self.hub.membership.register(info("one"), address)

    def resolves_to(self, *hosts: str) -> str:
        """A name that leads to the listener's port at these hosts."""
        name = f"images.svc:{self.listener.port}"
        self.resolver.known[name] = tuple(f"{host}:{self.listener.port}" for host in hosts)
        return name


@asynccontextmanager
async def dialling(*patterns: str) -> AsyncIterator[Rig]:
    clock = asyncio.get_running_loop().time
    listener = Listener()
    await listener.listen("127.0.0.1", "127.0.0.2")
    if socket.has_ipv6:
        await listener.listen("::1")
    resolver = FakeResolver({})
    async with (
        ChannelDialler(clock, max_answer_bytes=1024, security={}) as dialler,
        FollowedNames(resolver, clock, every_s=1.0, keep=once) as names,
    ):
        admitted = tuple(pattern.replace("PORT", str(listener.port)) for pattern in patterns)
        grants = (Grant(backend="images", application_sets=("*",), addresses=admitted),)
        hub = Service(route(), grants=grants, names=names, dialler=dialler)
        hub.membership.configure(grants)
        try:
            yield Rig(hub, resolver, listener)
        finally:
            hub.membership.close()
            await listener.close()


async def test_no_spelling_of_an_own_address_is_connected_to(tmp_path: Path) -> None:
    async with dialling("*", "*:50051", "*:PORT") as rig:
        path = tmp_path / "x.sock"
        await rig.listener.listen_at(path)
        port = str(rig.listener.port)
        spellings = [*NO_ADDRESS, *DELICATE, f"unix:{path}", f"unix://{path}", f"unix:{path}:50051"]
        for spelling in spellings:
            with pytest.raises(RegistrationError):
                await rig.register(spelling.replace("50051", port))
        # What is admitted is connected to, so the listener would have seen the others.
        assert rig.listener.connected == []
    async with dialling("127.0.0.1:PORT") as rig:
        await rig.register(f"127.0.0.1:{rig.listener.port}")
        await rig.listener.arrival()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_name_that_resolves_to_an_own_address_is_not_connected_to(host: str) -> None:
    async with dialling("*.svc:PORT") as rig:
        name = rig.resolves_to(host)
        await rig.register(name)
        unresolved = await rig.hub.events.first(NameUnresolved)
        assert unresolved.reason == "it resolves only to addresses that the hub's configuration does not allow"
        (forbidden,) = rig.hub.events.of(AddressesForbidden)
        assert (forbidden.backend, forbidden.name, forbidden.endpoints) == ("images", name, rig.resolver.known[name])
        assert rig.listener.connected == []


async def test_of_several_addresses_behind_a_name_only_those_that_are_allowed_are_connected_to() -> None:
    async with dialling("*.svc:PORT", "127.0.0.2:PORT") as rig:
        await rig.register(rig.resolves_to("127.0.0.1", "127.0.0.2", "[::1]"))
        await rig.listener.arrival()
        await rig.hub.events.first(AddressesForbidden)
        assert {one.split("'")[1] for one in rig.listener.connected} == {"127.0.0.2"}


async def test_a_name_that_moves_to_an_own_address_after_it_was_checked_is_not_followed() -> None:
    async with dialling("*.svc:PORT", "127.0.0.2:PORT") as rig:
        await rig.register(rig.resolves_to("127.0.0.2"))
        await rig.listener.arrival()
        rig.resolves_to("127.0.0.1")
        await rig.hub.events.first(AddressesForbidden)
        assert {one.split("'")[1] for one in rig.listener.connected} == {"127.0.0.2"}


async def test_a_name_of_this_machine_may_lead_here_if_it_is_named() -> None:
    async with dialling("localhost:PORT") as rig:
        name = f"localhost:{rig.listener.port}"
        rig.resolver.known[name] = (f"127.0.0.1:{rig.listener.port}",)
        await rig.register(name)
        await rig.listener.arrival()

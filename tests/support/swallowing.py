"""A TCP proxy that can stop to pass anything on, as a lost route or a full firewall does: no byte, no reset."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class SwallowingProxy:
    """Passes bytes on until it is told to swallow those of the connections that are open, or of all."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._passing: set[asyncio.Event] = set()
        self._swallows_all = False
        self.port = 0
        self.connections = 0

    def swallow_open_ones(self) -> None:
        """Nothing comes through the connections that are open now; new ones work."""
        for passing in self._passing:
            passing.clear()

    def swallow_all(self) -> None:
        """Nothing comes through any connection from now on."""
        self._swallows_all = True
        self.swallow_open_ones()

    def pass_again(self) -> None:
        """Everything comes through, late as it is."""
        self._swallows_all = False
        for passing in self._passing:
            passing.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.connections += 1
        passing = asyncio.Event()
        if not self._swallows_all:
            passing.set()
        self._passing.add(passing)
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, behind_writer, passing))
                group.create_task(_pump(behind_reader, writer, passing))
        finally:
            self._passing.discard(passing)
            for one in (writer, behind_writer):
                one.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            await passing.wait()
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def swallowing_proxy(port: int) -> AsyncIterator[SwallowingProxy]:
    """A proxy before a port of this machine."""
    proxy = SwallowingProxy(port)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(proxy.carry(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The port for Argo CD: who is connected, and how it ends."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from hub.http.connection import Connection
from hub.http.crowd import Crowd
from hub.http.listener import Listener
from hub.http.turns import Restraint

if TYPE_CHECKING:
    import ssl

    from hub.http.connection import Handler
    from hub.http.limits import PortLimits
    from hub.http.listener import Successor

_LOOK_EVERY_S = 0.25  # What takes too long ends so much later, at most.


class HttpServer:
    """Serves a handler on one port.

    While ``draining`` is set, every answer says that its connection ends with it: Argo CD does not repeat a POST on a
    pooled connection that closes under it.
    """

    def __init__(self, handler: Handler, limits: PortLimits) -> None:
        self.limits = limits
        self.draining = False
        self._handler = handler
        self.crowd = Crowd(limits)
        self.restraint = Restraint(limits.refusals_per_s, asyncio.get_running_loop().time)
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._listener = Listener(limits.head_timeout_s)
        self._generation = 0
        self._date = b""
        self._date_s = 0

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, on every address if ``host`` is empty; returns the port.

        Raises:
            OSError: the address is taken, or not ours.
        """
        server = await self._listener.listen(partial(self._connection, self._generation), host, port, tls)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def other_tls(self, tls: ssl.SSLContext | None, *, retire: bool) -> Successor:
        """Prepare other TLS, or none, for connections to come; ``replace_tls`` puts it in force.

        Raises:
            OSError: it cannot be done now.
        """
        return await self._listener.succeed(partial(self._connection, self._generation + retire), tls)

    async def replace_tls(self, after: Successor, *, retire: bool) -> None:
        """Put other TLS in force; no connection is lost by it.

        ``retire``: a caller that was accepted before might be refused now, so open connections end with their next
        answer, and handshakes in progress fail.
        """
        self._generation += retire
        await self._listener.replace(after)
        if retire:
            for connection in self.crowd:
                connection.retire()

    async def stop(self, timeout_s: float) -> None:
        """Listen no more, answer what is in flight, and break off what is not answered and read in time."""
        self._listener.close()
        self.draining = True
        for connection in self.crowd:
            connection.stop()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            for connection in self.crowd:
                connection.abort()
            await self._empty.wait()

    def opened(self, connection: Connection) -> None:
        """One more is connected. Where there are too many, one that no one needs makes room, or this one goes."""
        self._empty.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look_at_clock)
        refusal = self.crowd.add(connection)
        if connection.generation != self._generation:
            connection.abort()
        elif refusal:
            connection.turn_away(refusal)

    def closed(self, connection: Connection) -> None:
        """It has gone."""
        self.crowd.remove(connection)
        if not self.crowd:
            self._empty.set()

    def _look_at_clock(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_EVERY_S, self._look_at_clock) if self.crowd else None
        now_s = loop.time()
        for connection in self.crowd:
            connection.look_at_clock(now_s)

    def date(self) -> bytes:
        """Now, as the header says it; made once a second."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, formatdate(now_s, usegmt=True).encode()
        return self._date

    def _connection(self, generation: int) -> Connection:
        return Connection(self._handler, self, generation)

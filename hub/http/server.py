"""The port for Argo CD: who is connected, and how it ends."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from hub.http.connection import Connection

if TYPE_CHECKING:
    import ssl

    from hub.http.connection import Handler

_BACKLOG = 1024


class HttpServer:
    """Serves a handler on one port.

    While ``draining`` is set, every answer says that its connection ends with it: Argo CD does not repeat a POST on a
    pooled connection that closes under it.
    """

    def __init__(self, handler: Handler, *, max_head_bytes: int, max_body_bytes: int, keepalive_s: float) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_body_bytes = max_body_bytes
        self.keepalive_s = keepalive_s
        self.draining = False
        self._handler = handler
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None
        self._date = b""
        self._date_s = 0

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, on every address if ``host`` is empty; returns the port.

        Raises:
            OSError: the address is taken, or not ours.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host or None, port, ssl=tls, backlog=_BACKLOG)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, timeout_s: float) -> None:
        """Listen no more, answer what is in flight, and break off what is not answered and read in time."""
        if self._server is not None:
            self._server.close()
        self.draining = True
        for connection in tuple(self._connections):
            connection.stop()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await self._empty.wait()

    def opened(self, connection: Connection) -> None:
        """Somebody has come."""
        self._connections.add(connection)
        self._empty.clear()

    def closed(self, connection: Connection) -> None:
        """It has gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def date(self) -> bytes:
        """Now, as the header says it; made once a second."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, formatdate(now_s, usegmt=True).encode()
        return self._date

    def _connection(self) -> Connection:
        return Connection(self._handler, self)

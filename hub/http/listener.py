"""The listening sockets of a port. Its TLS can be replaced, and no connection is lost by it."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

_BACKLOG = 1024


class Successor:
    """Servers that will listen instead of others, on the same sockets."""

    def __init__(self, servers: Iterable[asyncio.Server] = ()) -> None:
        self.servers = list(servers)

    def close(self) -> None:
        """Drop them; those before go on."""
        for server in self.servers:
            server.close()


class Listener:
    """Listens on one port."""

    def __init__(self, handshake_timeout_s: float) -> None:
        self._handshake_timeout_s = handshake_timeout_s
        self._servers: list[asyncio.Server] = []

    async def listen(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None
    ) -> asyncio.Server:
        """Listen, on every address if ``host`` is empty.

        Raises:
            OSError: the address is taken, or not one of this machine.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, host or None, port, backlog=_BACKLOG, **self._secured(tls))
        self._servers = [server]
        return server

    async def succeed(self, factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> Successor:
        """Servers with other TLS, or none, that do not listen yet.

        Raises:
            OSError: it cannot be done now; nothing has changed.
        """
        loop, after = asyncio.get_running_loop(), Successor()
        try:
            for one in [sock for server in self._servers for sock in server.sockets]:
                # The same socket under another name: either server accepts what is queued on it.
                sock = socket.socket(fileno=os.dup(one.fileno()))
                after.servers.append(
                    await loop.create_server(
                        factory, sock=sock, backlog=_BACKLOG, start_serving=False, **self._secured(tls)
                    )
                )
        except OSError:
            after.close()
            raise
        return after

    async def replace(self, after: Successor) -> None:
        """Let ``after`` listen from now on."""
        before, self._servers = self._servers, after.servers
        for server in after.servers:
            await server.start_serving()
        for server in before:
            server.close()

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()

    def _secured(self, tls: ssl.SSLContext | None) -> dict[str, Any]:
        return {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": self._handshake_timeout_s}

"""The socket of the admin port: what is not HTTP is refused in JSON, as everything else that the hub refuses.

aiohttp answers such requests before any handler or middleware sees them, in plain text.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from hub.core.errors import InternalError, InvalidRequest
from hub.http import reply
from hub.http.listener import Listener

if TYPE_CHECKING:
    import ssl

    from hub.http.getparams import RequestIds
    from hub.http.listener import Successor

_NOT_HTTP = "the request is not valid HTTP/1.1; this is the hub's admin port, {} TLS"
_HANDSHAKE_TIMEOUT_S = 10.0


class AdminSite(web.BaseSite):
    """Listens at an address, or at all addresses of the machine if ``host`` is empty."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, request_ids: RequestIds) -> None:
        super().__init__(runner)
        self._address = (host, port)
        self._request_ids = request_ids
        self._listener = Listener(_HANDSHAKE_TIMEOUT_S)

    @property
    def name(self) -> str:
        """The address, for aiohttp's own messages."""
        host, port = self._address
        return f"{host}:{port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not one of this machine.
        """
        await super().start()
        host, port = self._address
        self._server = await self._listener.listen(self._connection, host, port, tls)

    async def stop(self) -> None:
        """Listen no more."""
        self._listener.close()
        await super().stop()

    async def other_tls(self, tls: ssl.SSLContext | None) -> Successor:
        """Prepare other TLS, or none, for connections to come; ``replace_tls`` puts it in force.

        Raises:
            OSError: it cannot be done now.
        """
        return await self._listener.succeed(self._connection, tls)

    async def replace_tls(self, after: Successor, *, retire: bool) -> None:
        """Put other TLS in force. ``retire`` ends open connections, each with its answer."""
        await self._listener.replace(after)
        if retire:
            for connection in self._http_server.connections:
                connection.close()

    @property
    def _http_server(self) -> web.Server:
        server = self._runner.server
        assert server is not None  # noqa: S101 - BaseSite takes no runner without one.
        return server

    def _connection(self) -> _Connection:
        return _Connection(self._http_server, self._request_ids)


class _Connection(web.RequestHandler):
    """One connection."""

    def __init__(self, server: web.Server, request_ids: RequestIds) -> None:
        # None is "no access log" for aiohttp, whatever its annotation says.
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]  # as above.
        self._request_ids = request_ids

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's signature.
        message: str | None = None,  # noqa: ARG002 - as above.
    ) -> web.StreamResponse:
        """Refuse what no handler has seen, and close the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response has been sent")
        is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        tls = "without" if request.transport is None or not request.secure else "with"
        error = InternalError("the hub failed; see its log") if is_ours else InvalidRequest(_NOT_HTTP.format(tls))
        refusal = reply.refused(error, self._request_ids.next())
        response = web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)
        response.force_close()
        return response

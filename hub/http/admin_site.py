"""The socket of the admin port: what is not HTTP is refused in JSON, as everything else that the hub refuses.

aiohttp answers such requests before any handler or middleware sees them, in plain text.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from hub.core.errors import HubError, InternalError, InvalidRequest
from hub.http import reply

if TYPE_CHECKING:
    from hub.http.getparams import RequestIds

_NOT_HTTP = "the request is not valid HTTP/1.1; this is the hub's admin port, without TLS"


class AdminSite(web.BaseSite):
    """Listens at an address, or at all addresses of the machine if ``host`` is empty."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, request_ids: RequestIds) -> None:
        super().__init__(runner)
        self._address = (host, port)
        self._request_ids = request_ids

    @property
    def name(self) -> str:
        """The address, for aiohttp's own messages."""
        host, port = self._address
        return f"{host}:{port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not one of this machine.
        """
        await super().start()
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(self._connection, host or None, port)

    def _connection(self) -> _Connection:
        server = self._runner.server
        assert server is not None  # noqa: S101 - BaseSite takes no runner without one.
        return _Connection(server, self._request_ids)


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
        error: HubError = InternalError("the hub failed; see its log") if is_ours else InvalidRequest(_NOT_HTTP)
        refusal = reply.refused(error, self._request_ids.next())
        response = web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)
        response.force_close()
        return response

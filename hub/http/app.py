"""What is served on the port for Argo CD: the paths as one readable list, and an answer of ours to all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from hub.core.errors import HubError, InternalError, InvalidRequest, MethodNotAllowed, UnknownPath
from hub.core.events import RequestEnded
from hub.core.question import GETPARAMS
from hub.core.registration import is_label
from hub.http import reply

if TYPE_CHECKING:
    import asyncio

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from hub.http.admission import Admission
    from hub.http.getparams import GetParams, RequestIds
    from hub.service.ports import Events

_BAD_REQUEST = 400
_LINGER_S = 1.0  # How long the rest of a refused request is read and dropped, so that the caller sees the answer.


class App:
    """Sends each request where it belongs.

    ======  ==========================================  =====================================
    method  path                                        handler
    ======  ==========================================  =====================================
    POST    ``/api/v1/getparams.execute``               ``getparams``
    POST    ``/{route}/api/v1/getparams.execute``       ``getparams``, for that route
    other   one of these                                405
    any     any other                                   404
    ======  ==========================================  =====================================
    """

    def __init__(self, *, getparams: GetParams, admission: Admission, request_ids: RequestIds, events: Events) -> None:
        self._getparams = getparams
        self._admission = admission
        self._request_ids = request_ids
        self._events = events
        self.draining = False

    async def __call__(self, http: BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request."""
        request_id = self._request_ids.next()
        path = http.path
        if path == GETPARAMS:
            route = None
        elif path.endswith(GETPARAMS) and is_label(path[1 : -len(GETPARAMS)]):
            route = path[1 : -len(GETPARAMS)]
        else:
            return self.refuse(UnknownPath(f"there is no such path; the hub serves {GETPARAMS}"), request_id)
        if http.method != "POST":
            return self.refuse(MethodNotAllowed("this path takes POST only"), request_id, allow="POST")
        response = await self._getparams(http, route, request_id)
        if self.draining:
            # Argo CD does not repeat a POST on a pooled connection that closes, so say first that it will.
            response.force_close()
        return response

    def refuse(self, error: HubError, request_id: str = "", *, allow: str | None = None) -> web.Response:
        """Refuse a request that reaches no handler."""
        request_id = request_id or self._request_ids.next()
        self._events.emit(
            RequestEnded(
                status=error.status, duration_s=0.0, request_id=request_id, reason=error.reason, message=str(error)
            )
        )
        response = reply.refused(error, request_id, allow=allow)
        if self.draining:
            response.force_close()
        return response


class _Connection(RequestHandler):
    """aiohttp's protocol, with errors in our words: for bytes that are no HTTP, no handler is ever called."""

    __slots__ = ("_app",)

    def __init__(self, app: App, server: web.Server, **settings: object) -> None:
        super().__init__(server, **settings)  # type: ignore[arg-type]  # passed on as they came.
        self._app = app

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's signature; its text would show the caller's bytes.
        message: str | None = None,  # noqa: ARG002 - as above.
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a response was begun already; cutting it short is an error to Argo CD, and so safe")
        error = (
            InvalidRequest("the request is not valid HTTP/1.1")
            if status == _BAD_REQUEST
            else InternalError("the hub failed; its log says why")
        )
        response = self._app.refuse(error)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Serves an ``App`` on whatever sockets a runner opens."""

    def __init__(self, app: App, *, max_body_bytes: int, keepalive_s: float) -> None:
        super().__init__(app, request_factory=self._request, handler_cancellation=True)
        self._app = app
        self._max_body_bytes = max_body_bytes
        # auto_decompress: a compressed body is refused, never inflated.
        self._settings = {
            "keepalive_timeout": keepalive_s,
            "access_log": None,
            "auto_decompress": False,
            "lingering_time": _LINGER_S,
        }

    def __call__(self) -> RequestHandler:
        """One connection."""
        return _Connection(self._app, self, loop=self._loop, **self._settings)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        return BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=self._max_body_bytes)

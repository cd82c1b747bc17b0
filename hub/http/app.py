"""What is served on the port for Argo CD: the paths as one readable list, and an answer of ours to all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import HubError, MethodNotAllowed, UnknownPath
from hub.core.events import RequestEnded
from hub.core.question import GETPARAMS
from hub.core.registration import is_label
from hub.http import reply

if TYPE_CHECKING:
    from hub.http.getparams import GetParams, RequestIds
    from hub.http.reply import Reply
    from hub.http.request import HttpRequest
    from hub.service.ports import Events


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

    def __init__(self, *, getparams: GetParams, request_ids: RequestIds, events: Events) -> None:
        self._getparams = getparams
        self._request_ids = request_ids
        self._events = events

    async def __call__(self, http: HttpRequest) -> Reply:
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
        return await self._getparams(http, route, request_id)

    def refuse(self, error: HubError, request_id: str = "", *, allow: str | None = None) -> Reply:
        """Refuse a request that reaches no handler."""
        request_id = request_id or self._request_ids.next()
        self._events.emit(
            RequestEnded(
                status=error.status, duration_s=0.0, request_id=request_id, reason=error.reason, message=str(error)
            )
        )
        return reply.refused(error, request_id, allow=allow, restrains="")

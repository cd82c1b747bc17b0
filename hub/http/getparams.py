"""``getparams.execute``: from the bytes of a request to the bytes of its answer, and one report of how it went."""

from __future__ import annotations

import asyncio
import re
import traceback
from itertools import count
from typing import TYPE_CHECKING, Protocol

import msgspec

from hub.core.errors import EncodingRefused, HubError, InternalError
from hub.core.events import InternalFault, RequestEnded
from hub.core.question import parse_call
from hub.http import reply
from hub.service.execute import Request

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.http.admission import Admission
    from hub.http.auth import Authentication
    from hub.http.reply import Reply
    from hub.http.request import HttpRequest
    from hub.http.turns import Turns
    from hub.service.ports import Clock, Events

CLIENT_CLOSED_REQUEST = 499  # What proxies log for a caller that hung up; never sent.


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Executor(Protocol):
    """The use case behind this endpoint."""

    async def __call__(self, request: Request) -> Answer:
        """The complete answer.

        Raises:
            HubError: there is none.
        """
        ...


class RequestIds:
    """Identifies requests: the process's own prefix, and a number."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def next(self) -> str:
        """An id that no other request has."""
        return f"{self._prefix}-{next(self._numbers):x}"


class GetParams:
    """Handles calls of the endpoint, with or without a route in the path."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        execute: Executor,
        authentication: Authentication,
        admission: Admission,
        turns: Turns,
        events: Events,
        stopwatch: Clock,
        body_timeout_s: float,
        max_input_depth: int,
    ) -> None:
        self._execute = execute
        self._authentication = authentication
        self._admission = admission
        self._turns = turns
        self._events = events
        self._stopwatch = stopwatch
        self._body_timeout_s = body_timeout_s
        self._max_input_depth = max_input_depth

    async def __call__(self, http: HttpRequest, path_route: str | None, request_id: str) -> Reply:
        """Answer one HTTP request. Nothing but a cancellation leaves here as an exception."""
        report = _Report(request_id=request_id)
        started_s = self._stopwatch()
        try:
            answer = await self._answer(http, path_route, report)
            report.status, report.sets = 200, answer.count
            return reply.answered(answer)
        except HubError as error:
            return self._refuse(error, report)
        except asyncio.CancelledError:
            report.status, report.reason = CLIENT_CLOSED_REQUEST, "client_gone"
            raise
        except Exception:  # noqa: BLE001 - fail closed: whatever went wrong, Argo CD must read an error.
            self._events.emit(InternalFault(where="getparams", request_id=request_id, traceback=traceback.format_exc()))
            return self._refuse(InternalError("the hub failed; its log says why"), report)
        finally:
            self._events.emit(report.ended(self._stopwatch() - started_s))

    async def _answer(self, http: HttpRequest, path_route: str | None, report: _Report) -> Answer:
        client = self._authentication.client(http.headers)
        report.client = client.name
        self._admission.admit(client)
        try:
            if not self._turns.at_once():
                await self._turns.wait(client.name)
            call = parse_call(await self._body(http), max_input_depth=self._max_input_depth)
            request = Request(
                client=client,
                call=call,
                path_route=path_route,
                request_id=report.request_id,
                caller=http.caller,
                traceparent=_traceparent(http.headers.get("traceparent")),
            )
            report.request = request
            return await self._execute(request)
        finally:
            self._admission.dismiss(client)

    async def _body(self, http: HttpRequest) -> bytes:
        if http.headers.get("content-encoding", "identity").lower() != "identity":
            raise EncodingRefused("a request's body must not be compressed; leave out Content-Encoding")
        return await http.body(self._body_timeout_s)

    def _refuse(self, error: HubError, report: _Report) -> Reply:
        report.status, report.reason, report.message = error.status, error.reason, str(error)
        restrains = report.client if report.request is None or error.is_own else None
        return reply.refused(error, report.request_id, restrains=restrains)


def _traceparent(header: str | None) -> str:
    """A caller's trace context; what is none is left out rather than refused, as the W3C recommendation asks."""
    return header if header is not None and _TRACEPARENT.fullmatch(header) else ""


class _Report(msgspec.Struct, kw_only=True):
    """What is known of a request so far; filled in on its way."""

    request_id: str
    client: str = ""
    request: Request | None = None
    status: int = 0
    reason: str = ""
    message: str = ""
    sets: int = 0

    def ended(self, duration_s: float) -> RequestEnded:
        request = self.request
        return RequestEnded(
            status=self.status,
            duration_s=duration_s,
            request_id=self.request_id,
            route="" if request is None else request.route_name,
            client=self.client,
            application_set_name="" if request is None else request.call.application_set_name,
            sets=self.sets,
            reason=self.reason,
            message=self.message,
        )

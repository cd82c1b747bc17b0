"""One question from start to end: its route, its members' answers, and the one answer that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.combine import Answer, First, combine
from hub.core.deadline import Deadline
from hub.core.question import Call, Question
from hub.service.ask import Asker, Inquiry
from hub.service.remembered import Remembered

if TYPE_CHECKING:
    from hub.core.answer import CheckedAnswer, Limits
    from hub.core.clients import Client
    from hub.core.routes import Route
    from hub.service.ports import Clock
    from hub.service.remembered import RememberedAnswers
    from hub.service.routing import Routing

_NOTHING_KNOWN: dict[str, CheckedAnswer] = {}


class Request(msgspec.Struct, kw_only=True):
    """One call of a client. ``route_name`` is filled in when the route is found, for whoever reports on it."""

    client: Client
    call: Call
    path_route: str | None
    request_id: str
    route_name: str = ""


class Execute:
    """Answers questions."""

    def __init__(
        self, *, routing: Routing, asker: Asker, remembered: RememberedAnswers, clock: Clock, limits: Limits
    ) -> None:
        self._routing = routing
        self._asker = asker
        self._remembered = remembered
        self._clock = clock
        self._limits = limits

    async def __call__(self, request: Request) -> Answer:
        """The complete answer to a request.

        Raises:
            HubError: there is none. A part of an answer is never one.
        """
        route = self._route(request)
        question = Question(
            client=request.client.name,
            route=route.name,
            application_set_name=request.call.application_set_name,
            application_set_namespace=request.call.application_set_namespace,
            input_json=request.call.input_json,
        )
        remembered = self._remembered.get(question)
        inquiry = Inquiry(
            question=question,
            route=route,
            request_id=request.request_id,
            deadline=Deadline(self._clock() + route.deadline_s),
            known=_NOTHING_KNOWN if remembered is None else remembered.members,
        )
        if isinstance(route.combine, First):
            members = await self._asker.ask_first(inquiry)
        else:
            members = await self._asker.ask_all(inquiry)
        return self._combined(inquiry, members, remembered)

    def _route(self, request: Request) -> Route:
        call, client = request.call, request.client
        client.check_name(call.application_set_name)
        route = self._routing.table.resolve(request.path_route, call.application_set_name, call.parameters)
        request.route_name = route.name
        client.check_route(route.name)
        return route

    def _combined(
        self, inquiry: Inquiry, members: list[tuple[str, CheckedAnswer]], remembered: Remembered | None
    ) -> Answer:
        route = inquiry.route
        if remembered is not None and remembered.route is route and _same(members, remembered.members):
            return remembered.combined
        answer = combine(members, route.combine, route.rules, route=route.name, limits=self._limits)
        self._remembered.put(inquiry.question, Remembered(route=route, members=dict(members), combined=answer))
        return answer


def _same(members: list[tuple[str, CheckedAnswer]], before: dict[str, CheckedAnswer]) -> bool:
    """Whether these are the very answers that were combined before."""
    return len(members) == len(before) and all(before.get(backend) is answer for backend, answer in members)

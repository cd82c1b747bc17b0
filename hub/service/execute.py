"""One question from start to end: its route, its members' answers, and the one answer that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.combine import Answer, First, combine
from hub.core.deadline import Deadline
from hub.core.errors import HubError, StoreFailed
from hub.core.events import AnswerCached
from hub.core.question import Call, Question
from hub.core.uses import without
from hub.core.values import check_echo
from hub.service.ask import Answered, Asker, Inquiry
from hub.service.flights import Caller, Flights
from hub.service.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hub.core.answer import CheckedAnswer, Limits
    from hub.core.clients import Client
    from hub.core.keys import Identification
    from hub.core.routes import Route
    from hub.service.completeness import Completeness
    from hub.service.freezing import Freezes
    from hub.service.guard import Guard
    from hub.service.inputs import Inputs
    from hub.service.keeping import StoreKeeper
    from hub.service.lastgood import LastGoodAnswers
    from hub.service.ports import Clock, Events
    from hub.service.remembered import RememberedAnswers
    from hub.service.routing import Routing
    from hub.service.timekeeper import Timekeeper
    from hub.service.uses import Uses

_NOTHING_KNOWN: dict[str, CheckedAnswer] = {}
_CACHED = AnswerCached()


class Request(msgspec.Struct, kw_only=True):
    """One call of a client; ``caller`` is who waits for it, ``traceparent`` its W3C trace context, if it sent one.

    ``route_name`` is filled in when the route is found, for whoever reports on it.
    """

    client: Client
    call: Call
    path_route: str | None
    request_id: str
    caller: Caller
    traceparent: str = ""
    route_name: str = ""


class Execute:
    """Answers questions."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        keeper: StoreKeeper,
        routing: Routing,
        completeness: Completeness,
        inputs: Inputs,
        asker: Asker,
        remembered: RememberedAnswers,
        guard: Guard,
        freezes: Freezes,
        uses: Uses,
        last_good: LastGoodAnswers,
        events: Events,
        clock: Clock,
        timekeeper: Timekeeper,
        limits: Limits,
    ) -> None:
        self._keeper = keeper
        self._routing = routing
        self._completeness = completeness
        self._inputs = inputs
        self._asker = asker
        self._remembered = remembered
        self._guard = guard
        self._freezes = freezes
        self._uses = uses
        self._last_good = last_good
        self._events = events
        self._clock = clock
        self._timekeeper = timekeeper
        self._limits = limits
        self._flights: Flights[Answer] = Flights()

    async def __call__(self, request: Request) -> Answer:
        """The complete answer to a request.

        Raises:
            HubError: there is none. A part of an answer is never one.
        """
        self._keeper.check()
        route = self._route(request)
        call = request.call
        if route.unseen:
            await self._completeness.check(route, call.application_set_name)
        question = Question(
            client=request.client.name,
            route=route.name,
            application_set_name=call.application_set_name,
            application_set_namespace=call.application_set_namespace,
            input_json=call.input_json,
        )
        identification = self._routing.identification(route)
        remembered = self._remembered.get(question)
        if (
            remembered is not None
            and remembered.fits(route, identification)
            and self._clock() < remembered.fresh_until_s
            and (not route.ignored_inputs or await self._guard.same_as_accepted(question, route, remembered.combined))
        ):
            self._events.emit(_CACHED)
            return remembered.combined
        check_echo(route.values, call.parameters, route.name)
        self._inputs.check(route, call.parameters)
        deadline = Deadline(self._clock() + route.deadline_s)
        return await self._flights.join(
            (question, route),
            request.caller,
            lambda: self._answer(question, route, identification, request, deadline, remembered),
        )

    def _route(self, request: Request) -> Route:
        call, client = request.call, request.client
        client.check_name(call.application_set_name)
        route = self._routing.table.resolve(request.path_route, call.application_set_name, call.parameters)
        request.route_name = route.name
        client.check_route(route.name)
        return route

    async def _answer(  # noqa: PLR0913, PLR0917 - all that is known of one question
        self,
        question: Question,
        route: Route,
        identification: Identification,
        request: Request,
        deadline: Deadline,
        remembered: Remembered | None,
    ) -> Answer:
        inquiry = Inquiry(
            question=question,
            route=route,
            request_id=request.request_id,
            traceparent=request.traceparent,
            deadline=deadline,
            known=_NOTHING_KNOWN if remembered is None else remembered.members,
            identification=identification,
        )
        if route.guarded:
            # Also if no answer comes of it: a baseline is in use as long as it is asked.
            self._uses.count(question)
        try:
            if isinstance(route.combine, First):
                answered = await self._asker.ask_first(inquiry)
            else:
                answered = await self._asker.ask_all(inquiry)
            return await self._accepted(inquiry, request.call.parameters, answered, remembered)
        except HubError as error:
            return await self._last_good.instead_of(error, without(question, route.ignored_inputs), route)

    async def _accepted(
        self,
        inquiry: Inquiry,
        parameters: Mapping[str, Any],
        answered: list[Answered],
        remembered: Remembered | None,
    ) -> Answer:
        """The combined answer, once it may be taken for the truth; only then is anything remembered of it."""
        question, route, identification = inquiry.question, inquiry.route, inquiry.identification
        fresh_for_s = _fresh_for_s(route, answered)
        if remembered is not None and remembered.fits(route, identification) and _same(answered, remembered.members):
            answer, is_new = remembered.combined, False
        else:
            members = [(one.backend, one.answer) for one in answered]
            answer, is_new = combine(members, route.recipe(identification), parameters, self._limits), True
        # With ignored inputs, what was accepted for these ones need not be what was accepted last.
        is_other = is_new or bool(route.ignored_inputs)
        needs_review = is_other or self._guard.holds(question, route)
        if needs_review or route.trust.stale_max_age_s is not None:
            await self._settle(inquiry, answer, remembered, is_other=is_other, needs_review=needs_review)
        if is_new or fresh_for_s > 0:
            self._remember(inquiry, answered, answer, fresh_for_s)
        return answer

    async def _settle(
        self, inquiry: Inquiry, answer: Answer, remembered: Remembered | None, *, is_other: bool, needs_review: bool
    ) -> None:
        """Let the guard accept an answer, and keep it as the last good one, before it may leave."""
        question, route = inquiry.question, inquiry.route
        try:
            with self._timekeeper.until(inquiry.deadline), self._freezes.passing():
                if is_other:
                    before = None if remembered is None or route.ignored_inputs else remembered.combined
                    await self._freezes.check(question, route, answer, before)
                if needs_review:
                    await self._guard.review(question, route, answer, inquiry.identification)
                await self._last_good.keep(without(question, route.ignored_inputs), route, answer)
        except TimeoutError as error:
            raise StoreFailed("the hub's store did not answer in time") from error

    def _remember(self, inquiry: Inquiry, answered: list[Answered], answer: Answer, fresh_for_s: float) -> None:
        self._remembered.put(
            inquiry.question,
            Remembered(
                route=inquiry.route,
                identification=inquiry.identification,
                members={one.backend: one.answer for one in answered},
                combined=answer,
                fresh_until_s=self._clock() + fresh_for_s,
            ),
        )


def _same(answered: list[Answered], before: Mapping[str, CheckedAnswer]) -> bool:
    """Whether these are the very answers that were combined before."""
    for one in answered:
        if before.get(one.backend) is not one.answer:
            return False
    return len(answered) == len(before)


def _fresh_for_s(route: Route, answered: list[Answered]) -> float:
    """How long the whole is fresh: as long as the member whose answer is fresh for the shortest time."""
    freshness = route.trust.freshness
    return min([freshness.of(one.fresh_for_s) for one in answered])

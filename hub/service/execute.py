"""One question from start to end: its route, its members' answers, and the one answer that leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from hub.core.combine import Answer, First
from hub.core.deadline import Deadline
from hub.core.errors import DeadlinePassed, HubError, StoreFailed
from hub.core.events import AnswerCached
from hub.core.question import Call, Question
from hub.core.uses import without
from hub.core.values import check_echo
from hub.service.ask import Answered, Asker, Inquiry
from hub.service.flights import Caller, Flights, NeverBegan
from hub.service.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from hub.core.answer import CheckedAnswer
    from hub.core.clients import Client
    from hub.core.keys import Identification
    from hub.core.routes import Route
    from hub.service.bulkhead import Bulkhead
    from hub.service.completeness import Completeness
    from hub.service.freezing import Freezes
    from hub.service.freshness import FreshnessLimits
    from hub.service.guard import Guard
    from hub.service.inputs import Inputs
    from hub.service.keeping import StoreKeeper
    from hub.service.lastgood import LastGoodAnswers
    from hub.service.losses import Row
    from hub.service.ports import Clock, Events
    from hub.service.reading import Reading
    from hub.service.remembered import RememberedAnswers
    from hub.service.room import Room
    from hub.service.routing import Routing
    from hub.service.timekeeper import Timekeeper
    from hub.service.uses import Uses

T = TypeVar("T")

_NOTHING_KNOWN: dict[str, CheckedAnswer] = {}
_CACHED = AnswerCached()
_LAST_GOOD_S = 1.0  # How long after the deadline the last good answer may still be read.


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
        freshness: FreshnessLimits,
        bulkhead: Bulkhead,
        events: Events,
        clock: Clock,
        timekeeper: Timekeeper,
        reading: Reading,
        room: Room,
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
        self._freshness = freshness
        self._bulkhead = bulkhead
        self._events = events
        self._clock = clock
        self._timekeeper = timekeeper
        self._reading = reading
        self._room = room
        self._flights: Flights[Answer] = Flights(clock)
        self._settling: WeakValueDictionary[Question, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: Request) -> Answer:
        """The complete answer to a request.

        Raises:
            HubError: there is none. A part of an answer is never one.
        """
        self._keeper.check()
        route = self._route(request)
        call = request.call
        deadline = Deadline(self._clock() + route.deadline_s)
        if route.unseen:
            await self._in_time(deadline, self._completeness.check(route, call.application_set_name))
        question = Question(
            client=request.client.name,
            route=route.name,
            application_set_name=call.application_set_name,
            application_set_namespace=call.application_set_namespace,
            input_json=call.input_json,
        )
        identification = self._routing.identification(route)
        remembered, now_s = self._remembered.get(question), self._clock()
        if remembered is not None and remembered.row is not None:
            remembered.row.asked_s = now_s
        if (
            remembered is not None
            and remembered.fits(route, identification)
            and now_s < remembered.fresh_until_s
            and (not route.ignored_inputs or await self._is_last(question, route, remembered, deadline))
        ):
            self._events.emit(_CACHED)
            return remembered.combined
        check_echo(route.values, call.parameters, route.name)
        await self._inputs.check(route, call, deadline)
        self._bulkhead.enter(route, question.client)
        try:
            return await self._flights.join(
                (question, route),
                request.caller,
                lambda: self._answer(question, route, identification, request, deadline, remembered),
                within_s=route.share_within_s,
                until_s=deadline.at_s,
            )
        except NeverBegan as error:
            raise DeadlinePassed(
                f'route "{route.name}" is still waiting for the answers to earlier, equal questions (its deadline is '
                f"{route.deadline_s:g} s)"
            ) from error
        finally:
            self._bulkhead.leave(route, question.client)

    async def _is_last(self, question: Question, route: Route, remembered: Remembered, deadline: Deadline) -> bool:
        """Whether no other answer was accepted since, for other values of the ignored inputs."""
        same = self._guard.same_as_accepted(question, route, remembered.combined)
        return bool(await self._in_time(deadline, same))

    async def _in_time(self, deadline: Deadline, reading: Coroutine[Any, Any, T]) -> T:
        """What the store says.

        Raises:
            StoreFailed: it does not say it before the deadline.
        """
        try:
            with self._timekeeper.until(deadline):
                return await reading
        except TimeoutError as error:
            raise StoreFailed("the hub's store did not answer in time") from error

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
            return await self._instead_of(error, without(question, route.ignored_inputs), route, deadline)
        finally:
            if inquiry.taken:
                self._room.give_back(sum(inquiry.taken))

    async def _instead_of(self, error: HubError, question: Question, route: Route, deadline: Deadline) -> Answer:
        """The last good answer, if the store gives it soon: the deadline may be what has just passed."""
        within = Deadline(max(deadline.at_s, self._clock() + _LAST_GOOD_S))
        try:
            return await self._in_time(within, self._last_good.instead_of(error, question, route))
        except StoreFailed:
            raise error from None

    async def _accepted(
        self,
        inquiry: Inquiry,
        parameters: Mapping[str, Any],
        answered: list[Answered],
        remembered: Remembered | None,
    ) -> Answer:
        """The combined answer, once it may be taken for the truth; only then is anything remembered of it."""
        question, route = inquiry.question, inquiry.route
        fresh_for_s = self._freshness.fresh_for_s(route, answered, question.application_set_name)
        known = self._unchanged(inquiry, answered, remembered)
        # With ignored inputs, what was accepted for these ones need not be what was accepted last.
        if known is not None and not route.ignored_inputs and not self._needs_settling(question, route):
            if fresh_for_s > 0:
                self._remember(inquiry, answered, known.combined, fresh_for_s, known.row)
            return known.combined
        try:
            with self._timekeeper.until(inquiry.deadline):
                # Several asks of one question may be under way, and what one is compared to is what another one sets.
                async with self._only_one(without(question, route.ignored_inputs)):
                    known = self._unchanged(inquiry, answered, remembered)
                    if known is None:
                        answer = await self._combined(inquiry, parameters, answered)
                    else:
                        answer = known.combined
                    row = await self._settled(inquiry, answer, is_other=known is None or bool(route.ignored_inputs))
                    if known is None or fresh_for_s > 0:
                        row = row or (None if known is None else known.row)
                        self._remember(inquiry, answered, answer, fresh_for_s, row)
                    return answer
        except TimeoutError as error:
            raise StoreFailed("the hub's store did not answer in time") from error

    def _unchanged(
        self, inquiry: Inquiry, answered: list[Answered], remembered: Remembered | None
    ) -> Remembered | None:
        """The last accepted answer, if these are its members' and no other one was accepted since the ask began."""
        if (
            remembered is None
            or not remembered.fits(inquiry.route, inquiry.identification)
            or not _same(answered, remembered.members)
        ):
            return None
        return remembered if self._remembered.has(inquiry.question, remembered) else None

    async def _combined(self, inquiry: Inquiry, parameters: Mapping[str, Any], answered: list[Answered]) -> Answer:
        members = [(one.backend, one.answer) for one in answered]
        return await self._reading.combine(members, inquiry.route.recipe(inquiry.identification), parameters)

    def _only_one(self, question: Question) -> asyncio.Lock:
        lock = self._settling.get(question)
        if lock is None:
            lock = self._settling[question] = asyncio.Lock()
        return lock

    def _needs_settling(self, question: Question, route: Route) -> bool:
        """Whether something has to be written or decided even if the answer is the last accepted one."""
        return route.trust.stale_max_age_s is not None or self._guard.holds(question, route)

    async def _settled(self, inquiry: Inquiry, answer: Answer, *, is_other: bool) -> Row | None:
        """As ``_settle``; if it is unclear what was accepted, nothing counts as unchanged any more."""
        try:
            return await self._settle(inquiry, answer, is_other=is_other)
        except BaseException as error:
            # Any other refusal comes before anything is written.
            if isinstance(error, StoreFailed) or not isinstance(error, HubError):
                self._remembered.forget(inquiry.question)
            raise

    async def _settle(self, inquiry: Inquiry, answer: Answer, *, is_other: bool) -> Row | None:
        """Let the guard accept an answer, and keep it as the last good one, before it may leave."""
        question, route, row = inquiry.question, inquiry.route, None
        with self._freezes.passing():
            if is_other:
                before = None if route.ignored_inputs else self._remembered.get(question)
                await self._freezes.check(question, route, answer, None if before is None else before.combined)
            if is_other or self._guard.holds(question, route):
                row = await self._guard.review(question, route, answer, inquiry.identification)
            await self._last_good.keep(without(question, route.ignored_inputs), route, answer)
        return row

    def _remember(
        self, inquiry: Inquiry, answered: list[Answered], answer: Answer, fresh_for_s: float, row: Row | None
    ) -> None:
        self._remembered.put(
            inquiry.question,
            Remembered(
                route=inquiry.route,
                identification=inquiry.identification,
                members={one.backend: one.answer for one in answered},
                combined=answer,
                # From when it was asked: an answer is as old as that, however long it took.
                fresh_until_s=inquiry.deadline.at_s - inquiry.route.deadline_s + fresh_for_s,
                row=row,
            ),
        )


def _same(answered: list[Answered], before: Mapping[str, CheckedAnswer]) -> bool:
    """Whether these are the very answers that were combined before."""
    for one in answered:
        if before.get(one.backend) is not one.answer:
            return False
    return len(answered) == len(before)

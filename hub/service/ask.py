"""One ask of one member, and of several side by side: from a question to checked answers, or to why there are none."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.errors import (
    AnswerRefused,
    BackendAbsent,
    BackendFailed,
    BackendNotReady,
    DeadlinePassed,
    HubError,
    InputRefused,
    LimitExceeded,
)
from hub.core.events import AnswerNoticed, AskRetried, BackendAsked, BackendFailure, BreakerMoved, QuestionSpared
from hub.core.keys import Identification
from hub.service import ports
from hub.service.breakages import Breakages
from hub.service.pool import Pool, Turn, unresponsive
from hub.service.room import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.answer import CheckedAnswer, Notice
    from hub.core.deadline import Deadline
    from hub.core.directory import Instance
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.breaker import Breaker
    from hub.service.reading import Reading
    from hub.service.room import Room
    from hub.service.timekeeper import Timekeeper

_ATTEMPTS = 2  # One retry, because a lost connection costs Argo CD three minutes otherwise.


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """One question on its way through its route; ``taken`` has the memory that was taken for large answers to it."""

    question: Question
    route: Route
    request_id: str
    traceparent: str = ""
    deadline: Deadline
    known: Mapping[str, CheckedAnswer]
    identification: Identification = Identification()
    taken: list[int] = []


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One member's checked answer. ``fresh_for_s``: how long the backend says it may be given again."""

    backend: str
    answer: CheckedAnswer
    fresh_for_s: float | None


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """One member's failure, kept as a value so that its siblings go on."""

    backend: str
    error: HubError


class Asker:
    """Asks members, checks what they answer, and asks once more when an instance is lost."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        pool: Pool,
        events: ports.Events,
        clock: ports.Clock,
        timekeeper: Timekeeper,
        reading: Reading,
        room: Room,
        breaker: Breaker,
        stopwatch: ports.Clock = time.perf_counter,
    ) -> None:
        """``clock`` is the loop's, for deadlines; it may be coarse, so ``stopwatch`` measures."""
        self._stopwatch = stopwatch
        self._pool = pool
        self._events = events
        self._clock = clock
        self._timekeeper = timekeeper
        self._reading = reading
        self._room = room
        self._breakages = Breakages()
        self._breaker = breaker

    async def ask_all(self, inquiry: Inquiry) -> list[Answered]:
        """Ask all members side by side; answers come in the members' order.

        Raises:
            HubError: a member failed; of several failures the first in the members' order, whichever came first in
                time, so that the same fault gives the same text.
        """
        members = inquiry.route.members
        if len(members) == 1:
            return [await self.ask(inquiry, members[0], inquiry.deadline)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(inquiry, backend)) for backend in members]
        answers = []
        for task in tasks:
            outcome = task.result()
            if isinstance(outcome, Failed):
                raise outcome.error
            answers.append(outcome)
        return answers

    async def ask_first(self, inquiry: Inquiry) -> list[Answered]:
        """Ask one member after the other until one does not fail; each has an equal share of the time that is left.

        Raises:
            HubError: all failed; the first one's failure. Or one was not asked, because it is busy.
        """
        members = inquiry.route.members
        failure: HubError | None = None
        for position, backend in enumerate(members):
            share = inquiry.deadline.share(self._clock(), len(members) - position)
            try:
                return [await self.ask(inquiry, backend, share)]
            except HubError as error:
                if error.is_own:
                    # It has not failed; the hub has not even asked it.
                    raise
                failure = failure or error
        assert failure is not None  # noqa: S101 - a route has at least one member.
        raise failure

    async def _outcome(self, inquiry: Inquiry, backend: str) -> Answered | Failed:
        try:
            return await self.ask(inquiry, backend, inquiry.deadline)
        except HubError as error:
            return Failed(backend=backend, error=error)

    async def ask(self, inquiry: Inquiry, backend: str, deadline: Deadline) -> Answered:
        """Ask one member.

        Raises:
            HubError: it is absent, failed, was too slow, or its answer was refused.
        """
        spared = self._breaker.spared(backend, inquiry.question, self._clock())
        if spared is not None:
            self._events.emit(QuestionSpared(backend=backend))
            raise type(spared)(str(spared))
        started_s = self._stopwatch()
        outcome: str = "cancelled"
        checked: Literal["", "read", "same", "not_modified"] = ""
        known = inquiry.known.get(backend)
        tried: list[str] = []
        try:
            with self._timekeeper.until(deadline):
                taken_bytes = self._room.expected_bytes(backend)
                if taken_bytes:
                    await self._room.take(taken_bytes, deadline)
                    inquiry.taken.append(taken_bytes)
                raw = await self._ask_instance(inquiry, backend, deadline, known, tried)
                if len(raw.sets_json) >= LARGE_BYTES:
                    inquiry.taken.append(self._room.arrived(backend, len(raw.sets_json), taken_bytes))
                answer, checked = await self._checked(raw, known, inquiry, backend)
            outcome = "ok"
            self._answered(backend)
        except TimeoutError as error:
            outcome = DeadlinePassed.reason
            late = DeadlinePassed(
                f'backend "{backend}" did not answer in time (the deadline of route "{inquiry.route.name}" is '
                f"{inquiry.route.deadline_s:g} s)"
            )
            self._failed(backend, inquiry.question, late)
            raise late from error
        except HubError as error:
            outcome = error.reason
            self._failed(backend, inquiry.question, error)
            raise
        except BaseException:
            self._breaker.given_up(backend)
            raise
        finally:
            duration_s = self._stopwatch() - started_s
            self._events.emit(
                BackendAsked(
                    backend=backend,
                    outcome=outcome,
                    duration_s=duration_s,
                    checked=checked,
                    instances=tuple(tried),
                    application_set_name=inquiry.question.application_set_name,
                    request_id=inquiry.request_id,
                )
            )
        return Answered(backend=backend, answer=answer, fresh_for_s=raw.fresh_for_s)

    def _answered(self, backend: str) -> None:
        if self._breaker.answered(backend):
            self._events.emit(BreakerMoved(backend=backend, is_open=False))

    def _failed(self, backend: str, question: Question, error: HubError) -> None:
        if isinstance(error, AnswerRefused):
            # It answers, whatever that is worth.
            self._answered(backend)
        elif self._breaker.failed(backend, question, error, self._clock()):
            self._events.emit(BreakerMoved(backend=backend, is_open=True))

    async def _ask_instance(
        self, inquiry: Inquiry, backend: str, deadline: Deadline, known: CheckedAnswer | None, tried: list[str]
    ) -> ports.RawAnswer:
        """Ask an instance, and once more if it was lost or not ready: another one, or the same when it is back."""
        question, route = inquiry.question, inquiry.route
        ask = ports.Ask(
            application_set_name=question.application_set_name,
            application_set_namespace=question.application_set_namespace,
            input_json=question.input_json,
            request_id=inquiry.request_id,
            traceparent=inquiry.traceparent,
            known_digest=known.digest if known is not None else "",
        )
        turn = Turn(
            backend=backend,
            route=route.name,
            claimed_name=question.application_set_name if route.claimed else None,
            wait_for_absent_s=route.wait_for_absent_s,
            wait_for_busy_s=route.wait_for_busy_s,
            deadline=deadline,
        )
        avoid: Instance[ports.Link] | None = None
        for attempt in range(1, _ATTEMPTS + 1):
            instance = self._pool.take_now(turn, avoid) or await self._pool.take(turn, avoid)
            tried.append(instance.name)
            try:
                raw = await instance.link.ask(ask, deadline)
            except (ports.InstanceLost, ports.NotReady) as error:
                if not self._may_help(error, turn, instance, question) or attempt == _ATTEMPTS:
                    raise _translated(error, backend) from error
                avoid = instance
                self._events.emit(AskRetried(backend=backend, instance=instance.name, cause=type(error).__name__))
            except ports.TimedOut as error:
                self._breakages.survived(backend, question)
                # The same as if the hub had noticed it first, in the same words.
                raise TimeoutError from error
            except ports.AskError as error:
                self._breakages.survived(backend, question)
                self._tell(error, backend, ask)
                raise _translated(error, backend) from error
            else:
                self._breakages.survived(backend, question)
                return raw
            finally:
                self._pool.give_back(instance)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _may_help(self, error: ports.AskError, turn: Turn, instance: Instance[ports.Link], question: Question) -> bool:
        """Whether to ask once more: behind an address there may be others, an attached instance is only one.

        One that is lost or on its way out is replaced by its next process, for which the pool waits a little; unless it
        is this question that breaks one connection after another. One that says when to ask again is not asked before.
        """
        if isinstance(error, ports.Unresponsive):
            # That instance is not ready any more. If it is the only one, waiting would only delay the refusal.
            return self._pool.has_ready(turn)
        if isinstance(error, ports.InstanceLost):
            return self._breakages.lost(turn.backend, question, self._clock())
        self._breakages.survived(turn.backend, question)
        if isinstance(error, ports.NotReady) and error.retry_after_s is not None:
            return self._pool.has_other(turn, instance)
        return instance.kind != "attached" or instance.state == "leaving" or self._pool.has_other(turn, instance)

    def _tell(self, error: ports.AskError, backend: str, ask: ports.Ask) -> None:
        if isinstance(error, (ports.Broken, ports.TooLarge)):
            self._events.emit(
                BackendFailure(
                    backend=backend,
                    application_set_name=ask.application_set_name,
                    request_id=ask.request_id,
                    detail=str(error),
                )
            )

    async def _checked(
        self, raw: ports.RawAnswer, known: CheckedAnswer | None, inquiry: Inquiry, backend: str
    ) -> tuple[CheckedAnswer, Literal["read", "same", "not_modified"]]:
        """The answer, and how it passed the check."""
        if raw.not_modified:
            if known is None or not known.digest or raw.digest not in ("", known.digest):
                raise AnswerRefused(
                    f'backend "{backend}" answered "not modified", but not of the answer that the hub holds'
                )
            return known, "not_modified"
        if known is not None and raw.sets_json == known.raw and raw.digest == known.digest:
            return known, "same"
        answer = await self._reading.check(
            raw.sets_json,
            subject=f'backend "{backend}"',
            digest=raw.digest,
            before=known,
            identify=inquiry.route.guarded and not inquiry.identification.reads(backend),
        )
        self._notice((*answer.notices, *raw.notices), inquiry, backend)
        return answer, "read"

    def _notice(self, notices: tuple[Notice, ...], inquiry: Inquiry, backend: str) -> None:
        for notice in notices:
            if inquiry.route.values.silences(notice.kind):
                continue
            self._events.emit(
                AnswerNoticed(
                    backend=backend,
                    route=inquiry.route.name,
                    application_set_name=inquiry.question.application_set_name,
                    notice=notice,
                )
            )


def _translated(error: ports.AskError, backend: str) -> HubError:
    match error:
        case ports.Unresponsive():
            return unresponsive(backend)
        case ports.InstanceLost():
            return BackendAbsent(f'the connection to backend "{backend}" broke while it was asked, twice')
        case ports.NotReady():
            return BackendNotReady(f'backend "{backend}" is not ready: {error}', error.retry_after_s)
        case ports.InvalidInput():
            return InputRefused(f'backend "{backend}" refuses the input: {error}')
        case ports.TooLarge():
            return LimitExceeded(f'backend "{backend}" returned no answer; Applications are left unchanged: {error}')
        case _:
            return BackendFailed(f'backend "{backend}" failed; its own log, and the hub\'s, say why')

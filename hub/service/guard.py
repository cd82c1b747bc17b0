"""Holds answers that lose too much, and accepts all others as what the next ones are held against.

A baseline is moved by an accepted answer and by nothing else: not by one that is held, not by a failure, and not by
another question.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal
from weakref import WeakValueDictionary

import msgspec

from hub.core import guard as core
from hub.core.comparison import NOTHING
from hub.core.errors import AnswerHeld, StoreFailed, StoreLost
from hub.core.events import AnswerHeldBack, AnswerReleased, DropObserved, HeldDecided
from hub.core.keys import NO_KEYS
from hub.core.lists import largest
from hub.core.loss import is_covered, is_same, of_held
from hub.core.losses import Excess, by_count, change_excess, own_excess, with_changes
from hub.core.uses import without
from hub.core.view import compare, sets_beside
from hub.service import records
from hub.service.aside import aside
from hub.service.held import Latest, message

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.keys import Identification
    from hub.core.loss import Loss
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.audit import AuditLog
    from hub.service.baselines import Baselines, Known
    from hub.service.elapsed import ObservedTime
    from hub.service.held import HeldAnswers
    from hub.service.lessons import Lessons
    from hub.service.losses import Losses, Row
    from hub.service.newcomers import Newcomers
    from hub.service.ports import Change, Events, Store, WallClock
    from hub.service.remarks import Remarks


_EVERY_S = 60.0


class Guard:
    """Reviews answers before they leave, one question at a time, and lets operators decide about those it holds."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        store: Store,
        events: Events,
        clock: WallClock,
        audit: AuditLog,
        baselines: Baselines,
        held: HeldAnswers,
        lessons: Lessons,
        newcomers: Newcomers,
        remarks: Remarks,
        losses: Losses,
        observed: ObservedTime,
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._audit = audit
        self._baselines = baselines
        self._held = held
        self._lessons = lessons
        self._newcomers = newcomers
        self._remarks = remarks
        self._losses = losses
        self._observed = observed
        self._reviews: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> None:
        """Read what is held, and what was lost, from before this process started."""
        await self._observed.open()
        await self._losses.open()
        await self._held.open()

    async def close(self) -> None:
        """Write how long was waited, so that a restart costs none of it."""
        with suppress(StoreFailed, StoreLost):
            await self._save()

    async def tend(self) -> None:
        """Every minute, until cancelled: write how long was waited, and drop the losses that count no longer."""
        while True:
            await asyncio.sleep(_EVERY_S)
            # The store has said why it failed; the next turn tries again.
            with suppress(StoreFailed, StoreLost):
                await self._losses.expire()
                await self._save()

    async def _save(self) -> None:
        if self._held or self._losses.waiting:
            await self._observed.save()

    async def review(
        self, asked: Question, route: Route, answer: Answer, identification: Identification = NO_KEYS
    ) -> Row | None:
        """Accept an answer as the truth of now, or hold it; returns where to note when its question is asked again.

        Raises:
            AnswerHeld: it loses too much.
            BaselinesFull: the question is new, and there is no room for its baseline.
            StoreDamaged: what it would be compared to cannot be read.
            StoreFailed: what has to last could not be written, so the answer must not leave.
        """
        if not route.guarded:
            return None
        question = without(asked, route.ignored_inputs)
        key = records.key(question)
        self._held.check(key)
        self._losses.check(key)
        self._remarks.on(question, answer, identification)
        if (known := self._baselines.at_hand(key)) is not None and self._is_accepted(key, known, answer):
            return self._losses.row(key, question, len(known.past.rows))
        async with self._only_one(key):
            # Looked for again: while a configuration changes, a question may be under way twice.
            known = await self._find(key, question, asked)
            if known is not None and self._is_accepted(key, known, answer):
                return self._losses.row(key, question, len(known.past.rows))
            if known is None and not self._newcomers.admits(route.trust.guard):
                return None
            verdict = await _judged(known, answer, identification, route.trust.guard)
            return await self._review(key, question, route, known, verdict, answer)

    def _is_accepted(self, key: str, known: Known, answer: Answer) -> bool:
        """Whether nothing has to be decided: it is the last accepted answer, and none is held."""
        return known.past.has(answer) and key not in self._held

    async def _find(self, key: str, question: Question, asked: Question) -> Known | None:
        """What is known of a question, or was known of it under another key."""
        known = await self._baselines.find(key)
        if known is None and await self._newcomers.inherit(key, question, asked):
            known = await self._baselines.find(key)
        return known

    async def same_as_accepted(self, asked: Question, route: Route, answer: Answer) -> bool | None:
        """Whether an answer equals the last accepted one; ``None``: there is none, or the guard does not keep it.

        Raises:
            StoreDamaged: it cannot be read.
            StoreFailed: it cannot be read now.
        """
        if not route.guarded:
            return None
        if route.trust.guard.count is not None:
            return False  # Only what is counted could be compared.
        question = without(asked, route.ignored_inputs)
        key = records.key(question)
        async with self._only_one(key):
            known = await self._find(key, question, asked)
        return None if known is None else known.past.has(answer)

    def _only_one(self, key: str) -> asyncio.Lock:
        """The lock of a question: reviews of it, and decisions about it, follow one another."""
        lock = self._reviews.get(key)
        if lock is None:
            lock = self._reviews[key] = asyncio.Lock()
        return lock

    async def _review(  # noqa: PLR0913, PLR0917 - all that is known of one review
        self, key: str, question: Question, route: Route, known: Known | None, verdict: core.Verdict, answer: Answer
    ) -> Row:
        policy = route.trust.guard
        # Of whole sets only the number says whether any are missing: each that changes is another one.
        counted = by_count(verdict) if verdict.before and _is_keyless(known, answer) else verdict
        row = self._losses.row(key, question, verdict.before)
        excess = own_excess(verdict, policy) or self._losses.excess(row, counted, policy)
        excess = excess or _still_exceeded(self._held.get(key), counted)
        how: Literal["", "accepted", "released", "observed"] = ""
        if excess is not None and policy.mode == "observe":
            how = "observed"
            loss = await _loss(known, verdict, answer, None)
            self._events.emit(
                DropObserved(
                    route=question.route,
                    went=len(loss.went),
                    before=loss.before,
                    changed=len(loss.changed),
                    limit=excess.limit,
                )
            )
        elif excess is not None:
            how = await self._release_or_hold(key, question, route, known, verdict, answer, excess=excess)
        step = self._losses.accept(row, question, counted, policy, how=how, excess=excess)
        try:
            await self._accept(key, question, known, answer, verdict=verdict, how=how, lost=step.changes)
        except BaseException as error:
            # The store knows what was written, also if nobody waited until it was.
            self._baselines.forget(key)
            if not isinstance(error, asyncio.CancelledError):
                self._losses.undo(step)
            raise
        if known is not None and known.changes:
            self._remarks.on_lists(question, answer, known.changes[-1].lists, policy)
        return row

    async def _release_or_hold(  # noqa: PLR0913, PLR0917 - all that is known of one review
        self,
        key: str,
        question: Question,
        route: Route,
        known: Known | None,
        verdict: core.Verdict,
        answer: Answer,
        *,
        excess: Excess,
    ) -> Literal["accepted", "released"]:
        """How a held answer gets free now; raises ``AnswerHeld`` if it does not."""
        self._held.heard(key, Latest(route=route, answer=answer))
        answer_digest, held = records.digest(answer.body), self._held.get(key)
        loss = await _loss(known, verdict, answer, held)
        if change_excess(verdict, route.trust.guard) is not None:
            loss = with_changes(loss)
        if held is not None and held.decision == "accepted" and is_covered(held, loss, answer_digest, answer.count):
            return "accepted"
        if held is None or not is_same(held, loss, answer_digest, answer.count):
            held = await self._held.hold(key, question, loss, answer, answer_digest, excess=excess)
        elif held.decision != "rejected" and _waited_enough(held, route.trust.guard, self._observed()):
            return "released"
        self._events.emit(
            AnswerHeldBack(
                route=question.route,
                held_id=held.id,
                went=held.went,
                before=held.before,
                changed=held.changed or 0,
                limit=held.limit,
            )
        )
        raise AnswerHeld(message(question.route, held))

    async def _accept(  # noqa: PLR0913 - all that is known of one review
        self,
        key: str,
        question: Question,
        known: Known | None,
        answer: Answer,
        *,
        verdict: core.Verdict,
        how: str,
        lost: list[Change],
    ) -> None:
        changes: list[Change] = []
        is_first = known is None
        is_other = bool(verdict.came or verdict.went or verdict.changed or not verdict.before)
        if is_other or known is None or known.past.basis != answer.basis:
            now_s = self._clock()
            known, changes = self._baselines.accept(
                key,
                known,
                subject=records.subject(question),
                now_s=now_s,
                answer=answer,
                verdict=verdict,
                change=_change(now_s, answer, verdict, how, keyless=_is_keyless(known, answer)) if is_other else None,
            )
        await self._store.apply([*changes, *lost, *self._held.dropped(key, how)])
        held = self._held.drop(key)
        if known is not None:
            self._baselines.keep(key, known)
        if is_first:
            self._newcomers.answered(key, question)
        if how in ("accepted", "released") and held is not None:
            self._events.emit(AnswerReleased(route=question.route, held_id=held.id, how=how))

    def holds(self, asked: Question, route: Route) -> bool:
        """Whether an answer to this question is held, so that any other answer has to be reviewed."""
        return bool(self._held) and records.key(without(asked, route.ignored_inputs)) in self._held

    @property
    def held_count(self) -> int:
        """How many answers are held."""
        return len(self._held)

    def held(self) -> list[core.HeldAnswer]:
        """What is held, the oldest first."""
        return self._held.all()

    async def decide(
        self, held_id: str, decision: Literal["accepted", "rejected"], who: str, unique_by: tuple[str, ...] = ()
    ) -> core.HeldAnswer:
        """Take an operator's decision about a held answer, and learn which keys identify its sets if that is said.

        Raises:
            NoSuchHeldAnswer: nothing is held under this id.
            KeysRefused: the keys do not tell its sets apart, or this is not the place to say so; nothing changed.
            StoreFailed: it could not be written; nothing changed.
        """
        key = self._held.key_of(held_id)
        async with self._only_one(key):
            held = self._held.find(key, held_id)
            if not unique_by:
                decided = await self._held.decide(key, held, decision, who)
            else:
                lesson = await self._lessons.prepared(key, await self._baselines.find(key), unique_by, who)
                held = msgspec.structs.replace(held, lost=lesson.lost, blind=False)
                decided = await self._held.decide(key, held, decision, who, lesson.changes)
                lesson.take()
        self._events.emit(HeldDecided(held_id=held_id, decision=decision, who=who))
        return decided

    async def audit(self) -> list[core.AuditEntry]:
        """Who decided what, oldest first."""
        return await self._audit.entries()

    async def history(self, application_set_name: str) -> list[core.History]:
        """The last changes of all questions of an ApplicationSet."""
        return await self._baselines.history(application_set_name)


async def _loss(known: Known | None, verdict: core.Verdict, answer: Answer, held: core.HeldAnswer | None) -> Loss:
    """What an answer loses that is too much, beside the one that is held."""
    past, is_keyless = NOTHING if known is None else known.past, _is_keyless(known, answer)
    read = partial(sets_beside, past, answer)
    return await aside(answer, partial(of_held, past, verdict, read, answer.origins, keyless=is_keyless, held=held))


def _waited_enough(held: core.HeldAnswer, policy: core.GuardPolicy, now_s: float) -> bool:
    """By the time that the hub has observed: the time of day may jump."""
    return policy.release_after_s is not None and now_s - (held.observed_s or now_s) >= policy.release_after_s


def _still_exceeded(held: core.HeldAnswer | None, verdict: core.Verdict) -> Excess | None:
    """The limit of the answer that is held, if this one is no better and only time has passed.

    What it was held for has left the window by and by. Nobody has decided that it is meant.
    """
    losing = len(verdict.went)
    if held is None or held.limit not in ("window", "total") or losing < held.losing:
        return None
    return Excess(limit=held.limit, gone=losing, before=verdict.before, share=0.0, text=held.why, losing=losing)


async def _judged(
    known: Known | None, answer: Answer, identification: Identification, policy: core.GuardPolicy
) -> core.Verdict:
    if known is None:
        return core.judge((), answer.identities, policy)
    work = partial(compare, known.past, answer, identification)
    aligned = work() if known.past.basis == answer.basis else await aside(answer, work)
    verdict = core.judge(known.past.rows, aligned.after, policy)
    return msgspec.structs.replace(verdict, changed=aligned.changed)


def _is_keyless(known: Known | None, answer: Answer) -> bool:
    """Whether whole sets were compared, so that a set that changed looks like one that is gone and one that is new."""
    return answer.basis.is_whole and (known is None or known.past.basis is None or known.past.basis.is_whole)


def _change(now_s: float, answer: Answer, verdict: core.Verdict, how: str, *, keyless: bool) -> core.Change:
    """An accepted answer as the history of its question has it."""
    return core.Change(
        at_s=now_s,
        sets=answer.count,
        came=len(verdict.came),
        went=len(verdict.went),
        came_shown=verdict.came[: core.MAX_SHOWN_IDENTITIES],
        went_shown=verdict.went[: core.MAX_SHOWN_IDENTITIES],
        members=answer.members,
        lists=largest(answer.lists),
        how=how or "checked",
        changed=None if keyless else len(verdict.changed),
        changed_shown=verdict.changed[: core.MAX_SHOWN_IDENTITIES],
    )

"""Holds answers that lose too much, and keeps what they are held against.

A baseline is moved by an accepted answer and by nothing else: not by one that is held, not by a failure, and not by
another question.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

import msgspec

from hub.core import guard as core
from hub.core.errors import AnswerHeld, StoreDamaged
from hub.core.events import AnswerHeldBack, AnswerReleased, DropObserved, HeldDecided, StoreTrouble
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.audit import AuditLog
    from hub.service.ports import Events, Store, WallClock

MAX_CHANGES = 20  # In the history of one question.

_MAX_CACHED_IDENTITIES = 500_000  # Of all baselines in memory; the store has them all.
_CHANGED_PARTS = 10  # A baseline is written anew once more than a tenth of it has changed.

_encode = msgspec.json.Encoder().encode
_decode_baseline = msgspec.json.Decoder(core.Baseline).decode
_decode_change = msgspec.json.Decoder(core.BaselineChange).decode
_decode_held = msgspec.json.Decoder(core.HeldAnswer).decode
_decode_input = msgspec.json.Decoder(dict[str, Any]).decode
_decode_history = msgspec.json.Decoder(core.History).decode


class NoSuchHeldAnswer(Exception):
    """Nothing is held under this id, or no longer."""


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a question: a baseline as it was written, the one of now, and the last changes."""

    written: frozenset[str]
    baseline: frozenset[str]
    changes: tuple[core.Change, ...]


class Guard:
    """Reviews answers before they leave, one question at a time, and lets operators decide about those it holds."""

    def __init__(self, store: Store, events: Events, clock: WallClock, audit: AuditLog) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._held: dict[str, core.HeldAnswer] = {}
        self._damaged: dict[str, str] = {}  # Held answers that cannot be read: by key, why.
        self._questions = _Questions(_MAX_CACHED_IDENTITIES)
        self._reviews: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._audit = audit

    async def open(self) -> None:
        """Read what is held from before this process started."""
        for key, value in (await self._store.load(records.HELD)).items():
            try:
                self._held[key] = records.read(_decode_held, records.HELD, key, value)
            except StoreDamaged as error:
                self._damaged[key] = str(error)
                self._events.emit(StoreTrouble(detail=str(error)))

    async def review(self, question: Question, route: Route, answer: Answer) -> None:
        """Accept an answer as the truth of now, or hold it.

        Raises:
            AnswerHeld: it loses too much.
            StoreDamaged: what it would be compared to cannot be read.
            StoreFailed: what has to last could not be written, so the answer must not leave.
        """
        policy = route.trust.guard
        if policy.mode == "off":
            return
        key = records.key(question)
        if key in self._damaged:
            raise StoreDamaged(self._damaged[key])
        known = await self._known(key)
        if known is not None and known.baseline == frozenset(answer.identities) and key not in self._held:
            return
        async with self._only_one(key):
            # Read again: while a configuration changes, a question may be under way twice.
            await self._review(key, question, policy, await self._known(key), answer)

    def _only_one(self, key: str) -> asyncio.Lock:
        """The lock of a question: reviews of it, and decisions about it, follow one another."""
        lock = self._reviews.get(key)
        if lock is None:
            lock = self._reviews[key] = asyncio.Lock()
        return lock

    async def _review(
        self,
        key: str,
        question: Question,
        policy: core.GuardPolicy,
        known: _Known | None,
        answer: Answer,
    ) -> None:
        verdict = core.judge(() if known is None else known.baseline, answer.identities, policy)
        how: Literal["", "accepted", "released", "observed"] = ""
        if verdict.too_much and policy.mode == "observe":
            how = "observed"
            self._events.emit(DropObserved(route=question.route, went=len(verdict.went), before=verdict.before))
        elif verdict.too_much:
            how = await self._release_or_hold(key, question, policy, verdict, answer)
        await self._accept(key, question, known, answer, verdict=verdict, how=how)

    async def _release_or_hold(
        self,
        key: str,
        question: Question,
        policy: core.GuardPolicy,
        verdict: core.Verdict,
        answer: Answer,
    ) -> Literal["accepted", "released"]:
        """How a held answer gets free now; raises ``AnswerHeld`` if it does not."""
        answer_digest = records.digest(answer.body)
        held = self._held.get(key)
        if held is None or held.answer_digest != answer_digest:
            held = await self._hold(key, question, verdict, answer, answer_digest)
        elif held.decision == "accepted":
            return "accepted"
        elif held.decision != "rejected" and _waited_enough(held, policy, self._clock()):
            return "released"
        self._events.emit(AnswerHeldBack(route=question.route, held_id=held.id, went=held.went, before=held.before))
        raise AnswerHeld(_message(question.route, held))

    async def _hold(
        self, key: str, question: Question, verdict: core.Verdict, answer: Answer, answer_digest: str
    ) -> core.HeldAnswer:
        held = core.HeldAnswer(
            # Made from what is held, so that the same answer has the same id, and the message the same text.
            id=records.digest(f"{key} {answer_digest}".encode())[:8],
            subject=records.subject(question),
            answer_digest=answer_digest,
            went=len(verdict.went),
            before=verdict.before,
            sets=answer.count,
            missing=verdict.went[: core.MAX_SHOWN_IDENTITIES],
            since_s=self._clock(),
            came=len(verdict.came),
            input=core.shown_input(_decode_input(question.input_json)),
            members=answer.members,
        )
        await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(held))])
        self._held[key] = held
        return held

    async def _accept(  # noqa: PLR0913 - all that is known of one review
        self,
        key: str,
        question: Question,
        known: _Known | None,
        answer: Answer,
        *,
        verdict: core.Verdict,
        how: str,
    ) -> None:
        changes: list[Change] = []
        if verdict.came or verdict.went or not verdict.before:
            subject, now_s = records.subject(question), self._clock()
            history = core.History(subject=subject, changes=self._history(known, now_s, answer, verdict, how))
            known, written = _moved(key, known, subject, now_s, answer)
            known = msgspec.structs.replace(known, changes=history.changes)
            changes += [*written, Change(kind=records.HISTORY, key=key, value=_encode(history))]
        held = self._held.get(key)
        if held is not None:
            changes.append(Change(kind=records.HELD, key=key, value=None))
            if how:
                changes.append(self._audit.decided(held, "passed" if how == "accepted" else "release", held.decided_by))
        await self._store.apply(changes)
        self._held.pop(key, None)
        if known is not None:
            self._questions.put(key, known)
        if how in ("accepted", "released") and held is not None:
            self._events.emit(AnswerReleased(route=question.route, held_id=held.id, how=how))

    @staticmethod
    def _history(
        known: _Known | None, now_s: float, answer: Answer, verdict: core.Verdict, how: str
    ) -> tuple[core.Change, ...]:
        change = core.Change(
            at_s=now_s,
            sets=answer.count,
            came=len(verdict.came),
            went=len(verdict.went),
            came_shown=verdict.came[: core.MAX_SHOWN_IDENTITIES],
            went_shown=verdict.went[: core.MAX_SHOWN_IDENTITIES],
            members=answer.members,
            how=how or "checked",
        )
        return (*(() if known is None else known.changes), change)[-MAX_CHANGES:]

    async def _known(self, key: str) -> _Known | None:
        known = self._questions.get(key)
        if known is None:
            value = await self._store.get(records.BASELINES, key)
            if value is None:
                return None
            written = frozenset(records.read(_decode_baseline, records.BASELINES, key, value).identities)
            change = await self._store.get(records.BASELINE_CHANGES, key)
            history = await self._store.get(records.HISTORY, key)
            known = _Known(
                written=written,
                baseline=written
                if change is None
                else _changed(written, records.read(_decode_change, records.BASELINE_CHANGES, key, change)),
                changes=() if history is None else records.read(_decode_history, records.HISTORY, key, history).changes,
            )
            self._questions.put(key, known)
        return known

    def holds(self, question: Question) -> bool:
        """Whether an answer to this question is held, so that any other answer has to be reviewed."""
        return bool(self._held) and records.key(question) in self._held

    @property
    def held_count(self) -> int:
        """How many answers are held."""
        return len(self._held)

    def held(self) -> list[core.HeldAnswer]:
        """What is held, the oldest first."""
        return sorted(self._held.values(), key=lambda one: (one.since_s, one.id))

    async def decide(self, held_id: str, decision: Literal["accepted", "rejected"], who: str) -> core.HeldAnswer:
        """Take an operator's decision about a held answer.

        Raises:
            NoSuchHeldAnswer: nothing is held under this id.
            StoreFailed: it could not be written; nothing changed.
        """
        key = next((key for key, one in self._held.items() if one.id == held_id), "")
        async with self._only_one(key):
            if key not in self._held or self._held[key].id != held_id:
                raise NoSuchHeldAnswer(held_id)
            held = msgspec.structs.replace(self._held[key], decision=decision, decided_by=who)
            entry = self._audit.decided(held, "accept" if decision == "accepted" else "reject", who)
            await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(held)), entry])
            self._held[key] = held
        self._events.emit(HeldDecided(held_id=held_id, decision=decision, who=who))
        return held

    async def audit(self) -> list[core.AuditEntry]:
        """Who decided what, oldest first."""
        return await self._audit.entries()

    async def history(self, application_set_name: str) -> list[core.History]:
        """The last changes of all questions of an ApplicationSet."""
        found = await self._store.load(records.HISTORY, f"{application_set_name}/")
        return [records.read(_decode_history, records.HISTORY, key, value) for key, value in found.items()]


def _waited_enough(held: core.HeldAnswer, policy: core.GuardPolicy, now_s: float) -> bool:
    return policy.release_after_s is not None and now_s - held.since_s >= policy.release_after_s


def _message(route: str, held: core.HeldAnswer) -> str:
    missing = f'route "{route}": {held.went} of {held.before} parameter sets are missing from the answer'
    if held.decision == "rejected":
        return f"{missing}; an operator rejected it ({held.id}), and nothing was changed"
    return f"{missing}; nothing was changed. If this is intended, run: appset-hub accept {held.id}"


def _moved(
    key: str, known: _Known | None, subject: core.Subject, now_s: float, answer: Answer
) -> tuple[_Known, list[Change]]:
    """The baseline that an answer makes, and how it is written: whole, or as what has changed since it was."""
    baseline = frozenset(answer.identities)
    written = frozenset[str]() if known is None else known.written
    came, went = baseline - written, written - baseline
    if known is None or _CHANGED_PARTS * (len(came) + len(went)) > len(written):
        whole = core.Baseline(subject=subject, identities=answer.identities, accepted_at_s=now_s)
        return _Known(written=baseline, baseline=baseline, changes=()), [
            Change(kind=records.BASELINES, key=key, value=_encode(whole)),
            Change(kind=records.BASELINE_CHANGES, key=key, value=None),
        ]
    change = core.BaselineChange(came=tuple(came), went=tuple(went), accepted_at_s=now_s)
    return _Known(written=written, baseline=baseline, changes=()), [
        Change(kind=records.BASELINE_CHANGES, key=key, value=_encode(change))
    ]


def _changed(written: frozenset[str], change: core.BaselineChange) -> frozenset[str]:
    return written.difference(change.went).union(change.came)


class _Questions:
    """What is known of the questions that were asked last, within a bound on their identities."""

    def __init__(self, max_identities: int) -> None:
        self._max = max_identities
        self._size = 0
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def get(self, key: str) -> _Known | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: str, known: _Known) -> None:
        before = self._known.pop(key, None)
        self._size += _size(known) - (0 if before is None else _size(before))
        self._known[key] = known
        while self._size > self._max and len(self._known) > 1:
            _, dropped = self._known.popitem(last=False)
            self._size -= _size(dropped)


def _size(known: _Known) -> int:
    """How many identities, about: those of two baselines are mostly the same objects, but each set has its table."""
    return len(known.baseline) + (0 if known.written is known.baseline else len(known.written)) + 1

"""The answers that are held: read at the start, written before they are refused, and decided by operators.

It does not judge. A caller who accepts an answer writes ``dropped`` in one step with it, and calls ``drop`` once that
is done.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hub.core import guard as core
from hub.core.errors import StoreDamaged
from hub.core.events import StoreTrouble
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.core.combine import Answer
    from hub.core.loss import Loss
    from hub.core.losses import Excess
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.audit import AuditLog
    from hub.service.elapsed import ObservedTime
    from hub.service.ports import Events, Store, WallClock

_MAX_LATEST_BYTES = 64 * 1024 * 1024

_encode = msgspec.json.Encoder().encode
_decode_held = msgspec.json.Decoder(core.HeldAnswer).decode
_decode_input = msgspec.json.Decoder(dict[str, Any]).decode


class NoSuchHeldAnswer(Exception):
    """Nothing is held under this id, or no longer."""


class HeldAnswers:
    """What is held, by question."""

    def __init__(self, store: Store, events: Events, clock: WallClock, audit: AuditLog, observed: ObservedTime) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._observed = observed
        self._audit = audit
        self._held: dict[str, core.HeldAnswer] = {}
        self._damaged: dict[str, str] = {}  # Those that cannot be read: by key, why.
        self._latest = _LatestAnswers(_MAX_LATEST_BYTES)

    async def open(self) -> None:
        """Read what is held from before this process started."""
        for key, value in (await self._store.load(records.HELD)).items():
            try:
                self._held[key] = records.read(_decode_held, records.HELD, key, value)
            except StoreDamaged as error:
                self._damaged[key] = str(error)
                self._events.emit(StoreTrouble(detail=str(error)))
        self._observed.reached(max((one.observed_s or 0.0 for one in self._held.values()), default=0.0))
        for key, one in self._held.items():
            if one.observed_s is None:
                # Of an older hub, whose count of the time cannot be trusted.
                self._held[key] = msgspec.structs.replace(one, observed_s=self._observed())

    def check(self, key: str) -> None:
        """Let a question pass whose held answer, if there is one, can be read.

        Raises:
            StoreDamaged: it cannot.
        """
        if key in self._damaged:
            raise StoreDamaged(self._damaged[key])

    def get(self, key: str) -> core.HeldAnswer | None:
        """The answer to a question that is held, or ``None``."""
        return self._held.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[core.HeldAnswer]:
        """What is held, the oldest first, as people see it."""
        return [shown(one) for one in sorted(self._held.values(), key=lambda one: (one.since_s, one.id))]

    def key_of(self, held_id: str) -> str:
        """The question whose answer is held under this id; empty if there is none."""
        return next((key for key, one in self._held.items() if one.id == held_id), "")

    def heard(self, key: str, latest: Latest) -> None:
        """Remember the latest answer to a question whose answer is held, so that keys can be tried on it."""
        self._latest.put(key, latest)

    def latest(self, key: str) -> Latest | None:
        """The latest answer to a question whose answer is held; ``None`` if this process has not heard it."""
        return self._latest.get(key)

    async def hold(  # noqa: PLR0913 - all that is known of what is held
        self, key: str, question: Question, loss: Loss, answer: Answer, answer_digest: str, *, excess: Excess
    ) -> core.HeldAnswer:
        """Hold an answer in place of the one that was held before it, if any.

        Raises:
            StoreFailed: it could not be written.
        """
        held = core.HeldAnswer(
            id=_id(key, loss, answer),
            subject=records.subject(question),
            answer_digest=answer_digest,
            went=len(loss.went),
            before=loss.before,
            sets=answer.count,
            missing=loss.went[: core.MAX_SHOWN_IDENTITIES],
            since_s=self._clock(),
            came=loss.came,
            input=core.shown_input(_decode_input(question.input_json)),
            members=answer.members,
            limit=excess.limit,
            losing=excess.losing,
            why=str(excess),
            observed_s=self._observed(),
            changed=len(loss.changed),
            lost=loss.lost,
            keyless=loss.keyless,
            blind=loss.blind,
            suggested=loss.suggested if excess.limit == "max_drop" else (),
        )
        await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(held))])
        self._held[key] = held
        return held

    def find(self, key: str, held_id: str) -> core.HeldAnswer:
        """The answer to a question that is held under this id.

        Raises:
            NoSuchHeldAnswer: there is none, or no longer.
        """
        held = self._held.get(key)
        if held is None or held.id != held_id:
            raise NoSuchHeldAnswer(held_id)
        return held

    async def decide(
        self,
        key: str,
        held: core.HeldAnswer,
        decision: Literal["accepted", "rejected"],
        who: str,
        others: Sequence[Change] = (),
    ) -> core.HeldAnswer:
        """Write an operator's decision down, in one step with ``others``; no review may be under way.

        Raises:
            StoreFailed: it could not be written; nothing changed.
        """
        decided = msgspec.structs.replace(held, decision=decision, decided_by=who)
        entry = self._audit.decided(decided, "accept" if decision == "accepted" else "reject", who)
        await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(decided)), entry, *others])
        self._held[key] = decided
        return shown(decided)

    def dropped(self, key: str, how: str) -> list[Change]:
        """What has to be written when a question is answered: nothing of it is held any longer."""
        held = self._held.get(key)
        if held is None:
            return []
        changes = [Change(kind=records.HELD, key=key, value=None)]
        if how:
            changes.append(self._audit.decided(held, "passed" if how == "accepted" else "release", held.decided_by))
        return changes

    def moved(self, key: str, to: str, question: Question) -> list[Change]:
        """What has to be written when a question gets another key: what is held of it stays held, and decided."""
        held = self._held.get(key)
        if held is None:
            return []
        return [Change(kind=records.HELD, key=to, value=_encode(_of(held, question)))]

    def move(self, key: str, to: str, question: Question) -> None:
        """Take what the store has now: it is held under another key."""
        held = self.drop(key)
        if held is not None:
            self._held[to] = _of(held, question)

    def drop(self, key: str) -> core.HeldAnswer | None:
        """Take what the store has now: nothing is held. What was, or ``None``."""
        self._latest.drop(key)
        return self._held.pop(key, None)


def _of(held: core.HeldAnswer, question: Question) -> core.HeldAnswer:
    return msgspec.structs.replace(held, subject=records.subject(question))


class Latest(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An answer that is held, with the route that made it."""

    route: Route
    answer: Answer


class _LatestAnswers:
    """The answers that were held last, within a bound on their bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._size = 0
        self._answers: OrderedDict[str, Latest] = OrderedDict()

    def get(self, key: str) -> Latest | None:
        return self._answers.get(key)

    def put(self, key: str, latest: Latest) -> None:
        self.drop(key)
        self._answers[key] = latest
        self._size += len(latest.answer.body)
        while self._size > self._max and len(self._answers) > 1:
            self.drop(next(iter(self._answers)))

    def drop(self, key: str) -> None:
        dropped = self._answers.pop(key, None)
        if dropped is not None:
            self._size -= len(dropped.answer.body)


def _id(key: str, loss: Loss, answer: Answer) -> str:
    """Made from what is missing, so that answers that lose the same have the same id, and the message the same text."""
    sets = answer.count if loss.blind else ""
    return records.digest(f"{key} {loss.lost.hex()} {sets}".encode())[:8]


def shown(held: core.HeldAnswer) -> core.HeldAnswer:
    """A held answer without what only the hub needs."""
    return msgspec.structs.replace(held, lost=None)


def message(route: str, held: core.HeldAnswer) -> str:
    """What callers read while an answer is held."""
    what = f'route "{route}": {_what(held)}'
    if held.decision == "rejected":
        return f"{what}; an operator rejected it ({held.id}), and nothing was changed"
    keys = f" --unique-by {','.join(held.suggested)}" if held.suggested and held.changed else ""
    separator = "." if keys else ";"
    nothing = "Nothing" if keys else "nothing"
    return f"{what}{separator} {nothing} was changed. If this is intended, run: appset-hub accept {held.id}{keys}"


_SEVERAL = ("window", "total")
"""The limits of more than one answer. What they count is more than what this answer lacks."""


def _what(held: core.HeldAnswer) -> str:
    if held.limit in _SEVERAL or not held.keyless or not (held.changed or held.blind):
        return held.why or f"{held.went} of {held.before} parameter sets are missing from the answer"
    unknown = "the hub does not know which keys identify a set"
    if held.blind:
        return f"{held.went} of {held.before} sets are missing or changed; {unknown}"
    suggestion = f". Suggested: unique_by: [{', '.join(held.suggested)}]" if held.suggested else ""
    return f"{held.changed} of {held.before} sets changed, {held.went} missing; {unknown}{suggestion}"

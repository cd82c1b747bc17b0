"""The answers that are held: read at the start, written before they are refused, and decided by operators.

It does not judge. A caller who accepts an answer writes ``dropped`` in one step with it, and calls ``drop`` once that
is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hub.core import guard as core
from hub.core.errors import StoreDamaged
from hub.core.events import StoreTrouble
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.losses import Excess
    from hub.core.question import Question
    from hub.service.audit import AuditLog
    from hub.service.elapsed import ObservedTime
    from hub.service.ports import Events, Store, WallClock

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
        """What is held, the oldest first."""
        return sorted(self._held.values(), key=lambda one: (one.since_s, one.id))

    def key_of(self, held_id: str) -> str:
        """The question whose answer is held under this id; empty if there is none."""
        return next((key for key, one in self._held.items() if one.id == held_id), "")

    async def hold(  # noqa: PLR0913 - all that is known of what is held
        self,
        key: str,
        question: Question,
        verdict: core.Verdict,
        answer: Answer,
        answer_digest: str,
        *,
        excess: Excess,
    ) -> core.HeldAnswer:
        """Hold an answer in place of the one that was held before it, if any.

        Raises:
            StoreFailed: it could not be written.
        """
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
            limit=excess.limit,
            why=str(excess),
            observed_s=self._observed(),
        )
        await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(held))])
        self._held[key] = held
        return held

    async def decide(
        self, key: str, held_id: str, decision: Literal["accepted", "rejected"], who: str
    ) -> core.HeldAnswer:
        """Write an operator's decision down; no review of the question may be under way.

        Raises:
            NoSuchHeldAnswer: nothing is held under this id.
            StoreFailed: it could not be written; nothing changed.
        """
        if key not in self._held or self._held[key].id != held_id:
            raise NoSuchHeldAnswer(held_id)
        held = msgspec.structs.replace(self._held[key], decision=decision, decided_by=who)
        entry = self._audit.decided(held, "accept" if decision == "accepted" else "reject", who)
        await self._store.apply([Change(kind=records.HELD, key=key, value=_encode(held)), entry])
        self._held[key] = held
        return held

    def dropped(self, key: str, how: str) -> list[Change]:
        """What has to be written when a question is answered: nothing of it is held any longer."""
        held = self._held.get(key)
        if held is None:
            return []
        changes = [Change(kind=records.HELD, key=key, value=None)]
        if how:
            changes.append(self._audit.decided(held, "passed" if how == "accepted" else "release", held.decided_by))
        return changes

    def drop(self, key: str) -> core.HeldAnswer | None:
        """Take what the store has now: nothing is held. What was, or ``None``."""
        return self._held.pop(key, None)


def message(route: str, held: core.HeldAnswer) -> str:
    """What callers read while an answer is held."""
    why = held.why or f"{held.went} of {held.before} parameter sets are missing from the answer"
    missing = f'route "{route}": {why}'
    if held.decision == "rejected":
        return f"{missing}; an operator rejected it ({held.id}), and nothing was changed"
    return f"{missing}; nothing was changed. If this is intended, run: appset-hub accept {held.id}"

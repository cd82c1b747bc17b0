"""Drops baselines that nobody uses when there are too many, and says so when there are none to drop.

A baseline that was used within ``guard.keep`` is never dropped to make room for another one. There is room beyond the
limit, because one question too many must not cost another its protection; beyond that, new questions are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.errors import BaselinesFull
from hub.core.events import BaselinesOverLimit, BaselinesWithinLimit
from hub.core.uses import HARD_BOUND, ONE_OFF_S
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.service.baselines import Baselines
    from hub.service.held import HeldAnswers
    from hub.service.ports import Events, Store
    from hub.service.uses import Uses

_BATCH = 100  # Questions that are dropped in one step.
_PART_FREED = 10  # When nothing is left, so much of the room is made, or each new question would search again.


class KeptView(msgspec.Struct, frozen=True, kw_only=True):
    """How many questions have a baseline, and how many may.

    ``over``: more than the limit, and none of them may be dropped. ``full``: no new question gets an answer.
    """

    kept: int
    limit: int
    over: bool
    full: bool


class Eviction:
    """Keeps the number of baselines within bounds."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        store: Store,
        events: Events,
        uses: Uses,
        baselines: Baselines,
        held: HeldAnswers,
        forget_answers: Callable[[], None],
        limit: int,
    ) -> None:
        self._store = store
        self._events = events
        self._uses = uses
        self._baselines = baselines
        self._held = held
        self._forget_answers = forget_answers
        self._limit = limit
        self._reported = False

    @property
    def _bound(self) -> int:
        return HARD_BOUND * self._limit

    def has_room(self) -> bool:
        """Whether one more question may have a baseline."""
        if len(self._uses) < self._bound:
            return True
        self._uses.due.set()
        return False

    def refusal(self) -> BaselinesFull:
        """What a new question gets if it may not."""
        return BaselinesFull(
            f"the hub keeps baselines for {self._bound} questions, all in use, and this question is new; its "
            "Applications are left unchanged. Raise limits.kept_questions in hub.yaml, or if an input differs in "
            "every question, add it to guard.ignore_inputs"
        )

    async def tend(self) -> None:
        """Write what was used, and drop what may be.

        Raises:
            StoreFailed: it could not be written; the next time tries again.
        """
        await self._uses.write()
        excess = len(self._uses) - self._limit
        if excess > 0:
            await self._drop(await self._uses.unused(excess))
        if len(self._uses) >= self._bound:
            excess = len(self._uses) - self._bound + max(1, self._limit // _PART_FREED)
            await self._drop(await self._uses.one_off(ONE_OFF_S, excess))
        self._tell()

    async def _drop(self, chosen: list[str]) -> None:
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            await self._store.apply(
                [Change(kind=kind, key=key, value=None) for key in batch for kind in records.OF_QUESTIONS]
            )
            for key in batch:
                self._uses.forget(key)
                self._baselines.forget(key)
                self._held.drop(key)
        if chosen:
            # What is remembered of them would pass as unchanged, and get no baseline.
            self._forget_answers()

    def _tell(self) -> None:
        view = self.view()
        if view.over and not self._reported:
            self._events.emit(BaselinesOverLimit(kept=view.kept, limit=view.limit, bound=self._bound))
        elif self._reported and not view.over:
            self._events.emit(BaselinesWithinLimit(kept=view.kept, limit=view.limit))
        self._reported = view.over

    def view(self) -> KeptView:
        """How it is now."""
        kept = len(self._uses)
        return KeptView(kept=kept, limit=self._limit, over=kept > self._limit, full=kept >= self._bound)

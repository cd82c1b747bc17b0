"""Ends what takes too long.

Each ask has a deadline, and hardly one ever passes. So there is one timer for all of them, set to the earliest, instead
of one that is made and cancelled for each.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from hub.core.deadline import Deadline


class Timekeeper:
    """Knows what is under way, and until when it may be."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: set[_Limited] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = inf

    def until(self, deadline: Deadline) -> _Limited:
        """A context that raises ``TimeoutError`` if its block is not over in time; for the task that asks for it."""
        if deadline.at_s < self._timer_at_s:
            self._set(deadline.at_s)
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can be limited")
        return _Limited(self._under_way, task, deadline.at_s)

    def _set(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._ring) if at_s < inf else None

    def _ring(self) -> None:
        # What the timer was set to counts, not the clock, which may stand a little before it.
        passed_s = self._timer_at_s
        for limited in [one for one in self._under_way if one.at_s <= passed_s]:
            self._under_way.discard(limited)
            limited.expire()
        self._set(min((one.at_s for one in self._under_way), default=inf))


class _Limited:
    """One block of one task."""

    __slots__ = ("_cancelling", "_is_expired", "_task", "_under_way", "at_s")

    def __init__(self, under_way: set[_Limited], task: asyncio.Task[Any], at_s: float) -> None:
        self._under_way = under_way
        self._task = task
        self._is_expired = False
        self.at_s = at_s

    def expire(self) -> None:
        self._is_expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()
        self._under_way.add(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._under_way.discard(self)
        # As asyncio.timeout does: somebody else's cancellation goes on, whatever the clock says.
        if self._is_expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

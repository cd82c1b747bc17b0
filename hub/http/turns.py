"""Who is served next, so that one caller who asks a lot does not make the others wait.

Two queues, both fair to callers and not to requests: ``Turns`` begins few requests in each round of the event loop, and
``Restraint`` slows down those who are refused and ask again at once. Without either, a round takes as long as all that
came in since the last one, and a client with a thousand connections decides how long everybody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.service.ports import Clock

PER_ROUND = 16
"""Requests that begin in one round: together they take a few milliseconds."""

_BURST_S = 0.1
_LOOK_EVERY_S = 0.02


class _Queue:
    """Who waits, by caller. Callers take turns; of each, the one who came first is first."""

    def __init__(self) -> None:
        self._callers: dict[str, deque[asyncio.Future[None]]] = {}
        self.waiting = 0

    async def wait(self, caller: str) -> None:
        """Wait for one's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._callers.setdefault(caller, deque()).append(turn)
        self.waiting += 1
        await turn

    def let_go(self, most: int) -> int:
        """Let up to ``most`` go on; returns how many. Those who have left meanwhile do not count."""
        count = 0
        while count < most and self._callers:
            caller, turns = next(iter(self._callers.items()))
            del self._callers[caller]
            turn = turns.popleft()
            self.waiting -= 1
            if turns:
                self._callers[caller] = turns  # Behind the others.
            if not turn.done():
                turn.set_result(None)
                count += 1
        return count


class Turns:
    """Lets requests begin, a few in each round of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = _Queue()
        self._begun = 0

    def at_once(self) -> bool:
        """Whether a request may begin in this round; if not, it has to ``wait``."""
        if self._begun >= PER_ROUND or self._queue.waiting:
            return False
        if not self._begun:
            self._loop.call_soon(self._next_round)
        self._begun += 1
        return True

    async def wait(self, caller: str) -> None:
        """Wait until a request of this caller may begin."""
        await self._queue.wait(caller)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._queue.waiting

    def _next_round(self) -> None:
        self._begun = self._queue.let_go(PER_ROUND)
        if self._begun:
            self._loop.call_soon(self._next_round)


class Restraint:
    """Limits how often in a second callers may ask again who were refused before any backend was asked.

    They have their answer at once. A caller who waits as long as ``Retry-After`` says notices nothing.
    """

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._per_second = per_second
        self._burst = max(1.0, per_second * _BURST_S)
        self._left = self._burst
        self._counted_s = clock()
        self._queue = _Queue()
        self._timer: asyncio.TimerHandle | None = None

    def at_once(self) -> bool:
        """Whether one more may ask again at once; if not, it has to ``wait``."""
        self._refill()
        if self._queue.waiting or self._left < 1:
            return False
        self._left -= 1
        return True

    async def wait(self, caller: str) -> None:
        """Wait until this caller may ask again."""
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)
        await self._queue.wait(caller)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._queue.waiting

    def _look(self) -> None:
        self._refill()
        self._left -= self._queue.let_go(int(self._left))
        self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look) if self._queue.waiting else None

    def _refill(self) -> None:
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._counted_s) * self._per_second)
        self._counted_s = now_s

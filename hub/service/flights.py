"""Equal questions share one ask, if it began a moment ago.

The first caller makes it himself; those who come soon after wait for what he gets. One who comes later begins another
ask, so that no answer is much older than its question. Once that has succeeded, the asks before it are pointless: those
who wait for them get the newer answer. One who hangs up does not fail the others, not even the first; when all have,
the ask is cancelled.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from hub.service.ports import Clock

T = TypeVar("T")

MAX_SIDE_BY_SIDE = 3
"""Asks of one question at a time: a slow backend must not be asked the same again and again."""


class NeverBegan(Exception):
    """All asks of this question took too long for another one to begin."""


class Caller:
    """Who waits for an answer, and whether he has hung up.

    Hanging up cancels his work, unless others wait for it too: then it goes on until none of them is left.
    """

    __slots__ = ("_cancel", "_others", "has_hung_up")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self._others = 0
        self.has_hung_up = False

    def interrupt(self) -> None:
        """End his work, but not his wait: what he does gets a ``CancelledError``, and may go on after it."""
        self._cancel()

    def hang_up(self) -> None:
        """He waits no more."""
        self.has_hung_up = True
        self._cancel_if_alone()

    def joined(self) -> None:
        """Somebody else waits for his work."""
        self._others += 1

    def left(self) -> None:
        """One of them waits no more."""
        self._others -= 1
        self._cancel_if_alone()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for his work, so that it ends."""
        return self.has_hung_up and not self._others

    def _cancel_if_alone(self) -> None:
        if self.is_cancelled:
            self._cancel()


class _Flight(Generic[T]):
    """One ask, and who waits for it beside its first caller."""

    __slots__ = ("_newer", "began_s", "first", "waiting")

    def __init__(self, first: Caller, began_s: float) -> None:
        self.first = first
        self.began_s = began_s
        self.waiting: list[asyncio.Future[T]] = []
        self._newer: list[T] | None = None

    def land(self, outcome: T) -> None:
        """Give an outcome to all who wait."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """Fail all who wait."""
        for waiter in self.waiting:
            _fail(waiter, error)

    def overtake(self, outcome: T) -> None:
        """End the ask with the outcome of one that began later."""
        if self._newer is None:
            self._newer = [outcome]
            self.land(outcome)
            self.first.interrupt()

    def newer(self) -> list[T]:
        """The outcome of the ask that ended this one, unless its task is cancelled for another reason as well."""
        if self._newer is None:
            return []
        task = asyncio.current_task()
        return self._newer if task is not None and not task.uncancel() else []


class Flights(Generic[T]):
    """What is under way, by what was asked."""

    def __init__(self, clock: Clock = lambda: 0.0) -> None:
        self._clock = clock
        # The asks of a question, the oldest first.
        self._flights: dict[Hashable, list[_Flight[T]]] = {}
        self._queues: dict[Hashable, list[asyncio.Future[None]]] = {}

    async def join(
        self,
        key: Hashable,
        caller: Caller,
        start: Callable[[], Coroutine[None, None, T]],
        *,
        within_s: float = inf,
        until_s: float = inf,
    ) -> T:
        """The outcome of the flight under ``key`` that began less than ``within_s`` ago, or of a new one.

        Raises:
            NeverBegan: too many are under way, and none ended until ``until_s``.
            Exception: whatever the flight raised, for each who waits.
        """
        while flights := self._flights.get(key):
            newest = flights[-1]
            # Nobody joins a flight that is being cancelled.
            if not newest.first.is_cancelled and self._clock() - newest.began_s < within_s:
                return await self._follow(newest)
            if len(flights) < MAX_SIDE_BY_SIDE:
                return await self._lead(key, flights, caller, start)
            await self._queue(key, until_s)
        self._flights[key] = flights = []
        return await self._lead(key, flights, caller, start)

    async def _lead(
        self,
        key: Hashable,
        flights: list[_Flight[T]],
        caller: Caller,
        start: Callable[[], Coroutine[None, None, T]],
    ) -> T:
        flight: _Flight[T] = _Flight(caller, self._clock())
        flights.append(flight)
        try:
            outcome = await start()
        except BaseException as error:
            self._end(key, flights, flight)
            newer = flight.newer()
            if not newer:
                flight.fail(error)
                raise
            outcome = newer[0]
        else:
            if len(flights) > 1:
                for older in flights[: flights.index(flight)]:
                    older.overtake(outcome)
            self._end(key, flights, flight)
        flight.land(outcome)
        if caller.has_hung_up:
            raise asyncio.CancelledError
        return outcome

    @staticmethod
    async def _follow(flight: _Flight[T]) -> T:
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        flight.waiting.append(waiter)
        flight.first.joined()
        try:
            return await waiter
        finally:
            flight.waiting.remove(waiter)
            flight.first.left()

    async def _queue(self, key: Hashable, until_s: float) -> None:
        """Wait until one of the flights ends."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(key, [])
        queue.append(ended)
        try:
            async with asyncio.timeout(None if until_s == inf else until_s - self._clock()):
                await ended
        except TimeoutError as error:
            raise NeverBegan from error
        finally:
            queue.remove(ended)
            if not queue and self._queues.get(key) is queue:
                del self._queues[key]

    def _end(self, key: Hashable, flights: list[_Flight[T]], flight: _Flight[T]) -> None:
        flights.remove(flight)
        if not flights:
            del self._flights[key]
        for ended in self._queues.get(key, ()) if self._queues else ():
            if not ended.done():
                ended.set_result(None)

    @property
    def count(self) -> int:
        """How many are under way."""
        return sum(map(len, self._flights.values()))


def _fail(waiter: asyncio.Future[T], error: BaseException) -> None:
    if waiter.done():
        return
    if isinstance(error, asyncio.CancelledError):
        waiter.cancel()
    else:
        waiter.set_exception(error)

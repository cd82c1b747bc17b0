"""Equal questions at the same time share one ask.

The first caller makes it himself; those who come while he does wait for what he gets. One who hangs up does not fail
the others, not even the first; when all have, the ask is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class Caller:
    """Who waits for an answer, and whether he has hung up.

    Hanging up cancels his work, unless others wait for it too: then it goes on until none of them is left.
    """

    __slots__ = ("_cancel", "_others", "has_hung_up")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self._others = 0
        self.has_hung_up = False

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
    __slots__ = ("first", "waiting")

    def __init__(self, first: Caller) -> None:
        self.first = first
        self.waiting: list[asyncio.Future[T]] = []


class Flights(Generic[T]):
    """What is under way, by what was asked."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, caller: Caller, start: Callable[[], Coroutine[None, None, T]]) -> T:
        """The outcome of the flight that is under way under ``key``, or of a new one.

        Raises:
            Exception: whatever the flight raised, for each who waits.
        """
        flight = self._flights.get(key)
        # Nobody joins a flight that is being cancelled.
        if flight is None or flight.first.is_cancelled:
            return await self._lead(key, caller, start)
        return await self._follow(flight)

    async def _lead(self, key: Hashable, caller: Caller, start: Callable[[], Coroutine[None, None, T]]) -> T:
        flight = self._flights[key] = _Flight(caller)
        try:
            outcome = await start()
        except BaseException as error:
            self._land(key, flight)
            for waiter in flight.waiting:
                _fail(waiter, error)
            raise
        self._land(key, flight)
        for waiter in flight.waiting:
            if not waiter.done():
                waiter.set_result(outcome)
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

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._flights)


def _fail(waiter: asyncio.Future[T], error: BaseException) -> None:
    if waiter.done():
        return
    if isinstance(error, asyncio.CancelledError):
        waiter.cancel()
    else:
        waiter.set_exception(error)

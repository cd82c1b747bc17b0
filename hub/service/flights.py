"""Equal questions at the same time share one ask.

One caller who hangs up does not fail the others; when all have, the ask is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("passengers", "task")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.passengers = 0


class Flights(Generic[T]):
    """What is under way, by what was asked."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[None, None, T]]) -> T:
        """The outcome of the flight that is under way under ``key``, or of a new one.

        Raises:
            Exception: whatever the flight raised, for each who waits.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._start(key, start)
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.passengers -= 1
            if not flight.passengers and not flight.task.done():
                # Nobody waits any more; who comes now must not join a flight that is being cancelled.
                self._leave(key, flight)
                flight.task.cancel()

    def _start(self, key: Hashable, start: Callable[[], Coroutine[None, None, T]]) -> _Flight[T]:
        flight = _Flight(asyncio.get_running_loop().create_task(start()))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._leave(key, flight))
        return flight

    def _leave(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            # Looked at, so that a failure whose last caller just hung up is not reported as forgotten.
            flight.task.exception()

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._flights)

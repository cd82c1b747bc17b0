"""Equal questions at the same time share one ask.

One caller who hangs up does not fail the others; when all have, the ask is cancelled.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiting: list[asyncio.Future[T]] = []


class Flights(Generic[T]):
    """What is under way, by what was asked."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[None, None, T]]) -> T:
        """The outcome of the flight that is under way under ``key``, or of a new one.

        Raises:
            Exception: whatever the flight raised, for each who waits.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(loop.create_task(start()))
            flight.task.add_done_callback(partial(self._land, key, flight))
        waiter: asyncio.Future[T] = loop.create_future()
        flight.waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            flight.waiting.remove(waiter)
            if not flight.waiting and not flight.task.done():
                # Nobody waits any more; who comes now must not join a flight that is being cancelled.
                self._leave(key, flight)
                flight.task.cancel()
            raise

    def _land(self, key: Hashable, flight: _Flight[T], task: asyncio.Task[T]) -> None:
        self._leave(key, flight)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        for waiter in flight.waiting:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(task.result())
            elif isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)

    def _leave(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._flights)

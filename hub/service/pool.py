"""Whose turn it is: takes an instance for one ask, or waits until one is there and free.

A backend that is absent is waited for a little; one that is merely busy, for as long as the deadline allows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from hub.core.deadline import Deadline
from hub.core.errors import BackendAbsent, BackendBusy

if TYPE_CHECKING:
    from hub.core.directory import Directory, Instance
    from hub.service.ports import Clock, Link


_LEFT_FOR_REFUSAL_S = 0.1  # Stop waiting this long before the deadline, so that the refusal can still say why.


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """For what an instance is taken.

    ``claimed_name`` is the applicationSetName if the route is made of claims, so that only instances that claim it are
    taken.
    """

    backend: str
    route: str
    claimed_name: str | None
    wait_for_absent_s: float
    deadline: Deadline


class Pool:
    """Hands out instances, the one with the least in flight first."""

    def __init__(self, directory: Directory[Link], clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link]:
        """An instance with one more in flight; give it back with ``give_back``.

        Args:
            turn: for what.
            avoid: an instance that was just lost; taken only if there is no other.

        Raises:
            BackendAbsent: none came in time.
            BackendBusy: none became free in time.
        """
        instance = self._directory.pick(turn.backend, turn.claimed_name, avoid)
        if instance is None:
            instance = await self._wait(turn, avoid)
        instance.in_flight += 1
        return instance

    def has_other(self, turn: Turn, instance: Instance[Link]) -> bool:
        """Whether an instance other than this one could be taken at once."""
        return self._directory.pick(turn.backend, turn.claimed_name, instance) not in (None, instance)

    def give_back(self, instance: Instance[Link]) -> None:
        """End what ``take`` began."""
        instance.in_flight -= 1
        waiting = self._waiting.get(instance.info.name)
        if waiting:
            _wake_one(waiting)

    def changed(self, backend: str) -> None:
        """An instance of this backend came, or can be asked again: let all who wait look once more."""
        waiting = self._waiting.get(backend)
        while waiting:
            _wake_one(waiting)

    async def _wait(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link]:
        busy_until = Deadline(turn.deadline.at_s - _LEFT_FOR_REFUSAL_S)
        absent_until = busy_until.within(self._clock(), turn.wait_for_absent_s)
        while True:
            present = self._directory.present(turn.backend, turn.claimed_name)
            until = busy_until if present else absent_until
            woken = await self._sleep(turn.backend, until.left_s(self._clock()))
            instance = self._directory.pick(turn.backend, turn.claimed_name, avoid)
            if instance is not None:
                return instance
            if not woken or until.left_s(self._clock()) <= 0:
                raise self._refusal(turn)

    async def _sleep(self, backend: str, limit_s: float) -> bool:
        """Wait for a change of the backend; false if there was none in time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(backend, deque())
        waiting.append(future)
        try:
            async with asyncio.timeout(limit_s):
                await future
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # This waiter was woken for a free place that it will not take: pass it on.
                _wake_one(waiting)
            raise
        finally:
            if future in waiting:
                waiting.remove(future)
        return True

    def _refusal(self, turn: Turn) -> BackendAbsent | BackendBusy:
        if self._directory.present(turn.backend, turn.claimed_name):
            return BackendBusy(
                f'backend "{turn.backend}" has as many questions in flight as it takes; start more instances of it'
            )
        if turn.claimed_name is not None and self._directory.present(turn.backend, None):
            return BackendAbsent(
                f'no instance of backend "{turn.backend}" claims this ApplicationSet any more; if that is meant, an '
                f'operator can say so: "appset-hub backends forget {turn.backend}"'
            )
        return BackendAbsent(
            f'backend "{turn.backend}" is not connected; nothing changes until it is back'
            + ("" if turn.claimed_name is not None else f' (route "{turn.route}")')
        )


def _wake_one(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        future = waiting.popleft()
        if not future.done():
            future.set_result(None)
            return

"""Whose turn it is: takes an instance for one ask, or waits until one is there and free.

A backend that is absent is waited for a little; one that is busy, as long as its instances finish questions. When none
has for a while, they hang, and waiting does not help.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING

import msgspec

from hub.core.deadline import Deadline
from hub.core.errors import BackendAbsent, BackendBusy, BackendUnresponsive

if TYPE_CHECKING:
    from hub.core.directory import Directory, Instance
    from hub.service.ports import Clock, Link


_LEFT_FOR_REFUSAL_S = 0.1  # Stop waiting this long before the deadline, so that the refusal can still say why.


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """For what an instance is taken.

    ``claimed_name`` is the applicationSetName if the route is made of claims, so that only instances that claim it are
    taken. ``wait_for_busy_s`` is how long to wait for a busy backend that finishes nothing.
    """

    backend: str
    route: str
    claimed_name: str | None
    wait_for_absent_s: float
    deadline: Deadline
    wait_for_busy_s: float = inf


class Pool:
    """Hands out instances, the one with the least in flight first."""

    def __init__(self, directory: Directory[Link], clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._waiting: dict[str, deque[_Waiter]] = {}
        # Of backends for which somebody waits: when one of their questions ended last.
        self._moved_s: dict[str, float] = {}
        # Of backends that kept somebody waiting in vain: since when none of their questions ended.
        self._stuck_since_s: dict[str, float] = {}

    def take_now(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link] | None:
        """What ``take`` would give if it did not wait, or ``None``."""
        instance = self._directory.pick(turn.backend, turn.claimed_name, avoid)
        if instance is not None:
            instance.in_flight += 1
        return instance

    async def take(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link]:
        """An instance with one more in flight; give it back with ``give_back``.

        Args:
            turn: for what.
            avoid: an instance that was just lost; taken only if there is no other.

        Raises:
            BackendAbsent: none came in time.
            BackendUnresponsive: none came in time, and those that are known answer nothing.
            BackendBusy: none became free in time, or none is going to.
        """
        instance = self.take_now(turn, avoid)
        if instance is None:
            instance = await self._wait(turn, avoid)
            instance.in_flight += 1
        return instance

    def has_other(self, turn: Turn, instance: Instance[Link]) -> bool:
        """Whether an instance other than this one could be taken at once."""
        return self._directory.pick(turn.backend, turn.claimed_name, instance) not in (None, instance)

    def has_ready(self, turn: Turn) -> bool:
        """Whether there is an instance that could be taken if it were not busy."""
        return self._directory.present(turn.backend, turn.claimed_name)

    def give_back(self, instance: Instance[Link]) -> None:
        """End what ``take`` began."""
        instance.in_flight -= 1
        if self._stuck_since_s:
            self._stuck_since_s.pop(instance.info.name, None)
        self._wake_one(instance.info.name)

    def changed(self, backend: str) -> None:
        """An instance of this backend came, or can be asked again: let all who wait look once more."""
        self._stuck_since_s.pop(backend, None)
        for waiter in self._waiting.pop(backend, ()):
            waiter.wake()

    def _wake_one(self, backend: str) -> None:
        """Wake the first who could take an instance now; others may wait for an instance that claims their name."""
        waiting = self._waiting.get(backend)
        if not waiting:
            return
        self._moved_s[backend] = self._clock()
        for waiter in waiting:
            if not waiter.future.done() and self._directory.pick(backend, waiter.turn.claimed_name, None) is not None:
                waiting.remove(waiter)
                waiter.wake()
                return

    async def _wait(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link]:
        began_s = self._clock()
        while True:
            left_s = self._until(turn, began_s).left_s(self._clock())
            if left_s <= 0:
                raise self._refusal(turn)
            await self._sleep(turn, left_s)
            instance = self._directory.pick(turn.backend, turn.claimed_name, avoid)
            if instance is not None:
                return instance

    def _until(self, turn: Turn, began_s: float) -> Deadline:
        """When to give up, as far as can be said now."""
        limit = Deadline(turn.deadline.at_s - _LEFT_FOR_REFUSAL_S)
        if not self._directory.present(turn.backend, turn.claimed_name):
            return limit.within(began_s, turn.wait_for_absent_s)
        since_s = self._stuck_since_s.get(turn.backend)
        if since_s is None:
            since_s = max(began_s, self._moved_s.get(turn.backend, began_s))
        until = limit.within(since_s, turn.wait_for_busy_s)
        if until.at_s <= self._clock():
            # Whoever comes next need not wait as long again.
            self._stuck_since_s[turn.backend] = since_s
        return until

    async def _sleep(self, turn: Turn, limit_s: float) -> None:
        """Wait for a change of the backend, within a limit."""
        waiter = _Waiter(turn)
        self._waiting.setdefault(turn.backend, deque()).append(waiter)
        try:
            async with asyncio.timeout(limit_s):
                await waiter.future
        except TimeoutError:
            return
        except asyncio.CancelledError:
            if waiter.is_woken:
                # It will not take the free place for which it was woken: pass it on.
                self._wake_one(turn.backend)
            raise
        finally:
            waiting = self._waiting.get(turn.backend)
            if waiting is not None and waiter in waiting:
                waiting.remove(waiter)

    def _refusal(self, turn: Turn) -> BackendAbsent | BackendBusy | BackendUnresponsive:
        if self._directory.present(turn.backend, turn.claimed_name):
            return BackendBusy(
                f'backend "{turn.backend}" has as many questions in flight as it takes; start more instances of it'
            )
        if self._directory.unresponsive(turn.backend):
            return unresponsive(turn.backend)
        if turn.claimed_name is not None and self._directory.present(turn.backend, None):
            return BackendAbsent(
                f'no instance of backend "{turn.backend}" claims this ApplicationSet any more. If this is intended, '
                f"run: appset-hub backends forget {turn.backend}"
            )
        return BackendAbsent(
            f'backend "{turn.backend}" is not connected; nothing changes until it is back'
            + ("" if turn.claimed_name is not None else f' (route "{turn.route}")')
        )


def unresponsive(backend: str) -> BackendUnresponsive:
    """The refusal of a question to a backend whose instances answer nothing."""
    return BackendUnresponsive(
        f'backend "{backend}" answers neither questions nor health checks; Applications are left unchanged until it '
        "does. See its log, and restart it if it hangs"
    )


class _Waiter:
    """Somebody who waits for an instance."""

    __slots__ = ("future", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    @property
    def is_woken(self) -> bool:
        return self.future.done() and not self.future.cancelled()

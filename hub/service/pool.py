"""Whose turn it is: takes an instance for one ask, or waits until one is there and free.

A backend that is absent is waited for a little; one that is merely busy, for as long as the deadline allows.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._waiting: dict[str, deque[_Waiter]] = {}

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
            BackendBusy: none became free in time.
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
        self._wake_one(instance.info.name)

    def changed(self, backend: str) -> None:
        """An instance of this backend came, or can be asked again: let all who wait look once more."""
        for waiter in self._waiting.pop(backend, ()):
            waiter.wake()

    def _wake_one(self, backend: str) -> None:
        """Wake the first who could take an instance now; others may wait for an instance that claims their name."""
        waiting = self._waiting.get(backend)
        if not waiting:
            return
        for waiter in waiting:
            if not waiter.future.done() and self._directory.pick(backend, waiter.turn.claimed_name, None) is not None:
                waiting.remove(waiter)
                waiter.wake()
                return

    async def _wait(self, turn: Turn, avoid: Instance[Link] | None) -> Instance[Link]:
        busy_until = Deadline(turn.deadline.at_s - _LEFT_FOR_REFUSAL_S)
        absent_until = busy_until.within(self._clock(), turn.wait_for_absent_s)
        while True:
            present = self._directory.present(turn.backend, turn.claimed_name)
            until = busy_until if present else absent_until
            woken = await self._sleep(turn, until.left_s(self._clock()))
            instance = self._directory.pick(turn.backend, turn.claimed_name, avoid)
            if instance is not None:
                return instance
            if not woken or until.left_s(self._clock()) <= 0:
                raise self._refusal(turn)

    async def _sleep(self, turn: Turn, limit_s: float) -> bool:
        """Wait for a change of the backend; false if there was none in time."""
        waiter = _Waiter(turn)
        self._waiting.setdefault(turn.backend, deque()).append(waiter)
        try:
            async with asyncio.timeout(limit_s):
                await waiter.future
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if waiter.is_woken:
                # It will not take the free place for which it was woken: pass it on.
                self._wake_one(turn.backend)
            raise
        finally:
            waiting = self._waiting.get(turn.backend)
            if waiting is not None and waiter in waiting:
                waiting.remove(waiter)
        return True

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

"""Keeps in step with the addresses behind host names.

A name is looked up every ``every_s`` seconds while all is well, and soon after one of its addresses has failed. However
many backends share a name, there is at most one lookup of it a second. A failed lookup takes no address away.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from hub.core.names import host_name
from hub.service.ports import Unresolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType

    from hub.core.names import HostName
    from hub.service.ports import Clock, NameObserver, Resolver

    Keep = Callable[[Callable[[], Coroutine[None, None, None]]], Awaitable[None]]

_APART_S = 1.0  # Between two lookups of one name.
_QUICK_LOOKUPS = 30  # While nothing can be reached, look this often in a hurry: a pod is being replaced. Then …
_PATIENT_S = 5.0  # … it is away for longer, and the DNS server deserves some peace.


class FollowedNames:
    """All names that are followed; following them ends with its context."""

    def __init__(self, resolver: Resolver, clock: Clock, *, every_s: float, keep: Keep, proxied: bool = False) -> None:
        """``proxied``: connections go through a proxy, which resolves names itself, so that none is followed."""
        self._resolver = resolver
        self._clock = clock
        self._keep = keep
        self._every_s = every_s
        self._proxied = proxied
        self._lookups: dict[HostName, _Lookups] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    def follow(self, address: str, observer: NameObserver) -> FollowedName | None:
        """Look up the name in an address from now on; ``None`` if it has none."""
        name = host_name(address)
        if name is None or self._proxied:
            return None
        lookups = self._lookups.setdefault(name, _Lookups(name, self._resolver, self._clock))
        lookups.followers += 1
        followed = FollowedName(lookups, observer, every_s=self._every_s)
        task = asyncio.ensure_future(self._keep(followed.run))
        followed.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, lookups))
        return followed

    def _ended(self, task: asyncio.Future[None], lookups: _Lookups) -> None:
        self._tasks.discard(task)
        lookups.followers -= 1
        if not lookups.followers:
            lookups.close()
            self._lookups.pop(lookups.name, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FollowedName:
    """One address that is followed, for one observer."""

    def __init__(self, lookups: _Lookups, observer: NameObserver, *, every_s: float) -> None:
        self._lookups = lookups
        self._observer = observer
        self._every_s = every_s
        self._hurried = asyncio.Event()
        self._quick_s = _APART_S
        self._in_vain = 0
        self.task: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Look, tell and pause, until cancelled."""
        if (found := self._lookups.recent()) is not None:
            self._observer.found(found)
        while True:
            self._hurried.clear()
            resolved = await self._look()
            await self._pause(self._pause_s(resolved=resolved))

    def hurry(self) -> None:
        """Look as soon as may be."""
        self._quick_s = _APART_S
        self._in_vain = 0
        self._hurried.set()

    def close(self) -> None:
        """Look no more."""
        if self.task is not None:
            self.task.cancel()

    async def _look(self) -> bool:
        found = await self._lookups.result()
        if isinstance(found, Unresolved):
            self._observer.unresolved(str(found))
            return False
        self._observer.found(found)
        return True

    def _pause_s(self, *, resolved: bool) -> float:
        standing = self._observer.standing
        if standing == "none":
            self._in_vain += 1
            return min(self._every_s, _APART_S if self._in_vain <= _QUICK_LOOKUPS else _PATIENT_S)
        self._in_vain = 0
        if standing == "all" and resolved:
            self._quick_s = _APART_S
            return self._every_s
        pause_s, self._quick_s = min(self._quick_s, self._every_s), 2 * self._quick_s
        return pause_s

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._hurried.wait()
        except TimeoutError:
            return


class _Lookups:
    """The lookups of one name; all of its followers share them."""

    def __init__(self, name: HostName, resolver: Resolver, clock: Clock) -> None:
        self.name = name
        self.followers = 0
        self._resolver = resolver
        self._clock = clock
        self._not_before_s = clock()
        self._under_way: asyncio.Task[tuple[str, ...] | Unresolved] | None = None
        self._last: tuple[str, ...] | None = None

    def recent(self) -> tuple[str, ...] | None:
        """What the last lookup brought, if that was less than a second ago."""
        return self._last if self._clock() < self._not_before_s else None

    async def result(self) -> tuple[str, ...] | Unresolved:
        """What the next lookup brings."""
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_task(self._look())
        # One follower that ends takes nothing from the others.
        return await asyncio.shield(self._under_way)

    async def _look(self) -> tuple[str, ...] | Unresolved:
        try:
            await asyncio.sleep(self._not_before_s - self._clock())
            self._not_before_s = self._clock() + _APART_S
            self._last = None
            self._last = await self._resolver.resolve(self.name)
        except Unresolved as error:
            return error
        else:
            return self._last
        finally:
            self._under_way = None

    def close(self) -> None:
        """End what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()

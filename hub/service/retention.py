"""How what lasts stays bounded: unused baselines are dropped, and the oldest entries of the audit log."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hub.core.errors import StoreFailed, StoreLost
from hub.service import records

if TYPE_CHECKING:
    from hub.service.eviction import Eviction
    from hub.service.ports import Pruning
    from hub.service.uses import Uses

_EVERY_S = 600.0
_PAUSE_S = 5.0  # Between two turns, however much there is to do.


class Kept(Protocol):
    """The questions that have a baseline."""

    @property
    def eviction(self) -> Eviction:
        """Drops them."""
        ...

    @property
    def uses(self) -> Uses:
        """Counts their uses."""
        ...


async def keep_bounded(store: Pruning, kept: Kept, limit: int) -> None:
    """Tend the store every ten minutes, and baselines also when it is due, until cancelled."""
    while True:
        # A last good answer is written again as long as it is given, so those that are left behind are unused.
        for kind in (records.LAST_GOOD, records.AUDIT):
            with suppress(StoreFailed, StoreLost):
                await store.prune((kind,), limit)
        await _tend(kept, asyncio.get_running_loop().time() + _EVERY_S)


async def _tend(kept: Kept, until_s: float) -> None:
    """Turns until then: the first at once, the others when they are due."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        # The store has said why it failed; the next turn tries again.
        with suppress(StoreFailed, StoreLost):
            await kept.eviction.tend()
        await asyncio.sleep(_PAUSE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await kept.uses.due.wait()

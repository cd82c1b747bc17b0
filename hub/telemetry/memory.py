"""Watches how much memory the hub takes, and acts before the platform does: it would end the process.

The memory is that of this process and of those that it started, without what they share with others.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hub.core.events import MemoryShort

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.service.ports import Events

SHRINK_AT = 0.75
"""From this part of the budget on, caches shrink and free memory goes back to the system."""

SHED_AT = 0.9
"""From this part on, requests get a 503."""

_ENOUGH_AT = 0.85
_LOOK_EVERY_S = 0.1
_SHRINK_EVERY_S = 2.0
_RETURN_EVERY_S = 10.0
_WORTH_BYTES = 32 * 1024 * 1024  # More than at the beginning: some of it may be free by now.
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Compares what the hub takes with its budget, if there is one, and returns what it does not need.

    ``shrink`` drops what can be had again, and ``short`` is told whether requests have to be refused.
    """

    def __init__(
        self,
        budget_bytes: int | None,
        *,
        shrink: Callable[[], None],
        short: Callable[[bool], None],
        children: Callable[[], list[int]],
        events: Events,
    ) -> None:
        self.budget_bytes = budget_bytes
        self._shrink = shrink
        self._short = short
        self._children = children
        self._events = events
        self._is_short = False

    async def watch(self) -> None:
        """Look again and again, and never return."""
        loop = asyncio.get_running_loop()
        returned_s, first_bytes = loop.time(), self.used_bytes
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            used_bytes, since_s = self.used_bytes, loop.time() - returned_s
            is_full = self._part(used_bytes) >= SHRINK_AT and since_s >= _SHRINK_EVERY_S
            if is_full:
                self._shrink()
            if is_full or (used_bytes >= first_bytes + _WORTH_BYTES and since_s >= _RETURN_EVERY_S):
                await asyncio.to_thread(_give_back)
                returned_s, used_bytes = loop.time(), self.used_bytes
            self._judge(self._part(used_bytes))

    def _part(self, used_bytes: int) -> float:
        return 0.0 if self.budget_bytes is None else used_bytes / self.budget_bytes

    def _judge(self, part: float) -> None:
        if self._is_short != (part >= (_ENOUGH_AT if self._is_short else SHED_AT)):
            self._is_short = not self._is_short
            self._short(self._is_short)
            self._events.emit(MemoryShort(short=self._is_short, part=part, budget_bytes=self.budget_bytes or 0))

    @property
    def used_bytes(self) -> int:
        """What this process and those that it started take now."""
        return sum(map(_resident_bytes, (os.getpid(), *self._children())))


def _resident_bytes(pid: int) -> int:
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:  # It has ended.
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def _give_back() -> None:
    """Return to the system what the C library keeps for later."""
    with suppress(OSError, AttributeError):  # Another C library than glibc.
        ctypes.CDLL(None).malloc_trim(0)

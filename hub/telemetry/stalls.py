"""Notices when the event loop stands still: everything waits then, also the answers to health checks.

A tick of the loop says when it ran last; a thread looks at that, and notes what the loop is at while it stands still.
Time in which the loop's thread got no processor is told apart: that is a busy machine, and no fault of the hub.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Self

from hub.core.events import LoopStalled

if TYPE_CHECKING:
    from types import TracebackType

    from hub.service.ports import Events

STALL_S = 0.1
"""From here on the loop stands still."""

_TICK_S = 0.025
_LOOK_S = 0.05
_FRAMES = 3


class StallWatch:
    """Watches the running loop while its context lasts."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._ticked_s = time.perf_counter()
        self._used_s = time.thread_time()
        self._timer: asyncio.TimerHandle | None = None
        self._where = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="stalls", daemon=True)

    async def __aenter__(self) -> Self:
        self._ticked_s, self._used_s = time.perf_counter(), time.thread_time()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.join()

    def _tick(self) -> None:
        now_s, used_s = time.perf_counter(), time.thread_time()
        # What the pause itself takes is no stall.
        stalled_s, busy_s = now_s - self._ticked_s - _TICK_S, used_s - self._used_s
        self._ticked_s, self._used_s = now_s, used_s
        if stalled_s >= STALL_S:
            self._events.emit(LoopStalled(seconds=stalled_s, busy_s=min(busy_s, stalled_s), where=self._where))
        self._where = ""
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_S):
            if not self._where and time.perf_counter() - self._ticked_s > STALL_S:
                self._where = _frames(self._loop_thread)


def _frames(thread: int) -> str:
    """Where a thread is, innermost last, as ``file.py:12 function``."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for debuggers and the like.
    if frame is None:
        return ""
    found = traceback.extract_stack(frame)[-_FRAMES:]
    return " > ".join(f"{one.filename.rpartition('/')[2]}:{one.lineno} {one.name}" for one in found)

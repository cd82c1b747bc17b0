"""Whether both ends of a stream are alive: what has to be sent when there is nothing to say, and who has gone silent.

It counts ticks instead of looking at the clock: after a pause of the whole process the hub's heartbeats are already
here, but not yet read, and one late tick is one tick. What is sent, and how, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("appset_hub")

LOST_AFTER = 5
"""How many heartbeats may be missing; the contract says it too."""

_TICKS = 2
"""Of a heartbeat's interval, so that two messages are never further apart than the interval."""

_LARGE_BYTES = 1024 * 1024
_SLOWEST_BYTES_S = 256 * 1024
"""A message that is on its way for long keeps its sender's heartbeats waiting."""
_LONGEST_SILENCE_S = 60.0


class Pulse:
    """The timer of one stream. `wrote` and `heard` are set with every message: that is all that one costs.

    `every_s`: the longest time between two messages. `beat`: send a heartbeat, unless something else is about to be
    sent. `silent`: nothing was heard for too long.
    """

    def __init__(self, every_s: float, *, beat: Callable[[], None], silent: Callable[[], None]) -> None:
        self.wrote = False
        self.heard = False
        self.patience_s = LOST_AFTER * every_s
        self._every_s = every_s
        self._tick_s = every_s / _TICKS
        self._beat = beat
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        self._left = LOST_AFTER * _TICKS
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """End."""
        self._timer.cancel()

    def excuse(self, silent_s: float) -> None:
        """Let the hub be silent for this long: it said that it will be."""
        self._left = LOST_AFTER * _TICKS + int(min(silent_s, _LONGEST_SILENCE_S) / self._tick_s)
        self.heard = False

    def _tick(self) -> None:
        self._say_late(self._loop.time() - self._timer.when())
        if self.heard:
            self.heard = False
            self._left = LOST_AFTER * _TICKS
        self._left -= 1
        if self._left < 0:
            self._silent()
            return
        if not self.wrote:
            self._beat()
        self.wrote = False
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    def _say_late(self, late_s: float) -> None:
        """Log when the loop was blocked for so long that the hub may take this process for frozen."""
        if late_s > self._every_s:
            _log.warning(
                "the event loop was blocked for %.1f s; after %g s without a heartbeat the hub asks another instance: "
                "make the function a plain one, which runs in a thread, or do not block in it",
                late_s,
                self.patience_s,
            )


def silence_s(message_bytes: int) -> float:
    """Return how long a message may be on its way, if that is worth saying before it is sent; else 0."""
    return 0.0 if message_bytes < _LARGE_BYTES else min(message_bytes / _SLOWEST_BYTES_S, _LONGEST_SILENCE_S)

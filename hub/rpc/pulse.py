"""Whether both ends of a stream are alive: what has to be sent when there is nothing to say, and who has gone silent.

It counts ticks instead of looking at the clock: after a pause of the whole process the other side's heartbeats are
already here, but not yet read, and one late tick is one tick.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

LOST_AFTER = 5
"""How many heartbeats may be missing; the contract says it too."""

_TICKS = 2  # Of a heartbeat's interval, so that two messages are never further apart than the interval.

_LARGE_BYTES = 1024 * 1024
_SLOWEST_BYTES_S = 256 * 1024  # A message that is on its way for long keeps its sender's heartbeats waiting.
_LONGEST_SILENCE_S = 60.0


class Stream(Protocol):
    """What a pulse belongs to."""

    def beat(self) -> None:
        """Send a heartbeat, unless something else is about to be sent."""
        ...

    def silent(self) -> None:
        """Nothing was heard for too long."""
        ...


class Pulse:
    """The timer of one stream. ``wrote`` and ``heard`` are set with every message: that is all that one costs."""

    __slots__ = ("_every_s", "_left", "_loop", "_stream", "_tick_s", "_timer", "heard", "wrote")

    def __init__(self, every_s: float, stream: Stream) -> None:
        """``every_s``: the longest time between two messages; 0: there are no heartbeats."""
        self.wrote = False
        self.heard = False
        self._every_s = every_s
        self._tick_s = every_s / _TICKS
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._left = LOST_AFTER * _TICKS
        self._timer: asyncio.TimerHandle | None = None

    @property
    def patience_s(self) -> float:
        """How long the other side may be silent."""
        return LOST_AFTER * self._every_s

    def start(self) -> None:
        """Begin, unless there are no heartbeats."""
        if self._every_s:
            self._timer = self._loop.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def excuse(self, silent_s: float) -> None:
        """The other side said that it will be silent for this long."""
        if self._every_s:
            self._left = LOST_AFTER * _TICKS + int(min(silent_s, _LONGEST_SILENCE_S) / self._tick_s)
        self.heard = False

    def _tick(self) -> None:
        if self.heard:
            self.heard = False
            self._left = LOST_AFTER * _TICKS
        self._left -= 1
        if self._left < 0:
            self._stream.silent()
            return
        if not self.wrote:
            self._stream.beat()
        self.wrote = False
        self._timer = self._loop.call_later(self._tick_s, self._tick)


def silence_s(message_bytes: int) -> float:
    """How long a message may be on its way, if that is worth saying before it is sent; else 0."""
    return 0.0 if message_bytes < _LARGE_BYTES else min(message_bytes / _SLOWEST_BYTES_S, _LONGEST_SILENCE_S)

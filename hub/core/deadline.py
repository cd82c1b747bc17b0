"""When a request has to be over.

One absolute time, handed down; a relative number is made only where a call needs one.
"""

from __future__ import annotations

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """A point on the loop's monotonic clock, in seconds."""

    at_s: float

    def left_s(self, now_s: float) -> float:
        """How long is left, never below zero."""
        return max(0.0, self.at_s - now_s)

    def within(self, now_s: float, limit_s: float) -> Deadline:
        """The earlier of this deadline and ``limit_s`` from now."""
        return Deadline(min(self.at_s, now_s + limit_s))

    def share(self, now_s: float, parts: int) -> Deadline:
        """An equal part of what is left, for the first of ``parts`` steps that follow one another."""
        return Deadline(now_s + self.left_s(now_s) / parts)

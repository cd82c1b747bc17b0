"""What another process sends back."""

from __future__ import annotations

from typing import Any

LENGTH_BYTES = 8
"""Before each message, either way: how long it is, most significant byte first."""


READY = bytes(LENGTH_BYTES)
"""What a process sends first, once it can take work."""


class Outcome:
    """What a function returned or raised, and the most memory that its process has used so far, in bytes."""

    __slots__ = ("error", "peak_bytes", "value")

    def __init__(self, value: Any, error: Exception | None, peak_bytes: int) -> None:
        self.value = value
        self.error = error
        self.peak_bytes = peak_bytes

"""When a hub that has just started is ready: its known backends are back, or have had time to come.

A platform that replaces one hub by another sends callers to the new one as soon as that is ready. Before its backends
are there, callers would only get errors. Backends that are absent later do not count: an error with a reason helps more
than a refused connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.service.ports import Clock


class Startup:
    """Waits for backends until ``wait_s`` after the start, and once for all."""

    def __init__(self, awaited: Callable[[], list[str]], clock: Clock, *, wait_s: float) -> None:
        """``awaited`` gives the backends that should come, and are not here now."""
        self._awaited = awaited
        self._clock = clock
        self._until_s = clock() + wait_s
        self._is_over = False

    def missing(self) -> tuple[str, ...]:
        """What the hub still waits for, one text each."""
        if self._is_over:
            return ()
        absent = self._awaited()
        if not absent or self._clock() >= self._until_s:
            self._is_over = True
            return ()
        return tuple(f'backend "{name}" has not connected since the start' for name in absent)

"""How long to wait before the next attempt. Pure: chance comes in as a function."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from appset_hub.settings import Pace


class Backoff:
    """Pauses that double up to a cap, each shortened by chance so that a thousand backends do not come at once."""

    def __init__(self, pace: Pace, chance: Callable[[], float] = random.random) -> None:
        self._pace = pace
        self._chance = chance
        self._next_s = pace.first_retry_s
        self._next_refused_s = pace.refused_retry_s

    def after_failure_s(self) -> float:
        """Return the pause after one more failure in a row, in seconds."""
        pause_s = self._next_s
        self._next_s = min(pause_s * 2, self._pace.longest_retry_s)
        return self._shortened(pause_s)

    def after_refusal_s(self) -> float:
        """Return the pause after one more answer that only changes when a person corrects something, in seconds."""
        pause_s = self._next_refused_s
        self._next_refused_s = min(pause_s * 2, max(pause_s, self._pace.longest_refused_retry_s))
        return self._shortened(pause_s)

    def reset(self) -> None:
        """Begin again with the shortest pauses: things went well."""
        self._next_s = self._pace.first_retry_s
        self._next_refused_s = self._pace.refused_retry_s

    def _shortened(self, pause_s: float) -> float:
        return pause_s * (1 - self._chance() / 2)

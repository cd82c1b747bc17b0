"""Questions during which connections break: one that breaks every connection it travels on gets a pause.

A backend that crashes on a question, or whose answer is too large to be read, loses the stream with everything else on
it, and Argo CD asks again within milliseconds. A plain state machine: time comes in as ``now_s``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.question import Question

_BORNE = 2  # Breakages in a row without a pause: both attempts of one request.
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0
_ROOM = 1000

Key = tuple[str, "Question"]


class Breakages:
    """How often in a row the connection was lost, by backend and question; empty as long as all is well."""

    def __init__(self) -> None:
        self._breakages: dict[Key, tuple[int, float]] = {}

    def lost(self, backend: str, question: Question, now_s: float) -> None:
        """The connection broke during this question."""
        count, _ = self._breakages.pop((backend, question), (0, 0.0))
        count += 1
        # Only as many doublings as there are until the longest pause.
        excess = min(count - _BORNE, 10)
        pause_s = min(_FIRST_PAUSE_S * 2 ** (excess - 1), _LONGEST_PAUSE_S) if excess > 0 else 0.0
        self._breakages[backend, question] = (count, now_s + pause_s)
        if len(self._breakages) > _ROOM:
            del self._breakages[next(iter(self._breakages))]

    def survived(self, backend: str, question: Question) -> None:
        """The connection outlived this question, whatever the answer."""
        if self._breakages:
            self._breakages.pop((backend, question), None)

    def pauses(self, backend: str, question: Question, now_s: float) -> bool:
        """Whether it must not be asked now."""
        if not self._breakages:
            return False
        known = self._breakages.get((backend, question))
        return known is not None and now_s < known[1]

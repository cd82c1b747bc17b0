"""Questions during which connections break: one that breaks every connection it travels on is not retried.

A backend that crashes on a question, or whose answer is too large to be read, loses the stream with everything else on
it. Each request for such a question still breaks one connection, so that it is answered as soon as it can be; it no
longer breaks two. A plain state machine: time comes in as ``now_s``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.question import Question

_BORNE = 2  # Losses in a row: both attempts of one request.
_FORGOTTEN_AFTER_S = 60.0
_ROOM = 1000

Key = tuple[str, "Question"]


class Breakages:
    """How often in a row the connection was lost, by backend and question; empty as long as all is well."""

    def __init__(self) -> None:
        self._lost: dict[Key, tuple[int, float]] = {}

    def lost(self, backend: str, question: Question, now_s: float) -> bool:
        """The connection broke during this question; returns whether a retry is worth it."""
        count, last_s = self._lost.pop((backend, question), (0, now_s))
        count = 1 if now_s - last_s > _FORGOTTEN_AFTER_S else count + 1
        self._lost[backend, question] = (count, now_s)
        if len(self._lost) > _ROOM:
            del self._lost[next(iter(self._lost))]
        return count <= _BORNE

    def survived(self, backend: str, question: Question) -> None:
        """The connection outlived this question, whatever the answer."""
        if self._lost:
            self._lost.pop((backend, question), None)

"""A circuit breaker: questions that a failing backend has just failed get the same error again at once.

It applies to a question only if its own last ask failed, if the backend has failed several in a row and answered none
since, and if another question was tried within ``PROBE_EVERY_S``. For that long a question can get its old error
although the backend has recovered; any answer closes the breaker for all. A plain state machine: time comes in as
``now_s``.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from hub.core.errors import BackendFailed, DeadlinePassed

if TYPE_CHECKING:
    from hub.core.errors import HubError
    from hub.core.question import Question

DEFAULT_FAILURES = 5

PROBE_EVERY_S = 0.5

_ROOM = 10_000  # Questions whose last error is kept, of each backend.


class _Backend:
    """What is known of one that fails."""

    __slots__ = ("errors", "failures", "is_open", "is_tried", "tried_s")

    def __init__(self) -> None:
        self.failures = 0
        self.is_open = False
        self.errors: OrderedDict[bytes, HubError] = OrderedDict()
        self.tried_s = 0.0
        self.is_tried = False


class Breaker:
    """Remembers failures, by backend; empty as long as all is well."""

    def __init__(self, failures: int = DEFAULT_FAILURES) -> None:
        """``failures``: how many in a row open it; 0 turns it off."""
        self._failures = failures
        self._failing: dict[str, _Backend] = {}

    def spared(self, backend: str, question: Question, now_s: float) -> HubError | None:
        """The error that this question gets without asking, or ``None`` if it is to be asked."""
        known = self._failing.get(backend)
        if known is None or not known.is_open:
            return None
        error = known.errors.get(_digest(question))
        if error is None:
            return None
        if not known.is_tried and now_s - known.tried_s >= PROBE_EVERY_S:
            known.is_tried, known.tried_s = True, now_s
            return None
        return error

    def failed(self, backend: str, question: Question, error: HubError, now_s: float) -> bool:
        """An ask failed; returns whether questions are spared from now on, and were not before."""
        if not self._failures:
            return False
        if not isinstance(error, (BackendFailed, DeadlinePassed)):
            # A backend that is absent or not ready has its own words, and costs nothing to ask.
            self.given_up(backend)
            return False
        known = self._failing.setdefault(backend, _Backend())
        was_open = known.is_open
        known.failures += 1
        known.is_open = known.failures >= self._failures
        known.is_tried, known.tried_s = False, now_s
        digest = _digest(question)
        known.errors[digest] = error
        known.errors.move_to_end(digest)
        if len(known.errors) > _ROOM:
            known.errors.popitem(last=False)
        return known.is_open and not was_open

    def answered(self, backend: str) -> bool:
        """An ask was answered; returns whether questions were spared until now."""
        if not self._failing:
            return False
        known = self._failing.pop(backend, None)
        return known is not None and known.is_open

    def given_up(self, backend: str) -> None:
        """An ask ended without saying how the backend is."""
        known = self._failing.get(backend)
        if known is not None:
            known.is_tried = False


def _digest(question: Question) -> bytes:
    names = (question.client, question.route, question.application_set_namespace, question.application_set_name, "")
    return blake2b("\0".join(names).encode() + question.input_json, digest_size=16).digest()

"""The last accepted answers: an equal one is compared instead of read again, a fresh one not even asked for.

Only what the guard accepted comes here: an answer that equals it needs no second review.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from hub.core.answer import CheckedAnswer
    from hub.core.combine import Answer
    from hub.core.keys import Identification
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.losses import Row


class Remembered(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The last accepted answer to a question: each member's, by name, and what the route combined them to.

    It was taken by the rules of ``route``, and its sets were told apart by ``identification``.

    Until ``fresh_until_s``, on the loop's clock, it may be given again without asking. ``row`` is where the guard wants
    to see that the question is still asked, unless it is off.
    """

    route: Route
    identification: Identification | None = None
    members: dict[str, CheckedAnswer]
    combined: Answer
    fresh_until_s: float = 0.0
    row: Row | None = None

    def fits(self, route: Route, identification: Identification) -> bool:
        """Whether the same rules apply now."""
        return self.route is route and self.identification is identification

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, about."""
        return (
            len(self.combined.body)
            + 500
            + 100 * len(self.combined.identities)
            + sum(one.size_bytes for one in self.members.values())
        )


class RememberedAnswers:
    """The answers to the questions that were asked last, within a bound."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._answers: OrderedDict[Question, Remembered] = OrderedDict()
        self._size_bytes = 0

    def get(self, question: Question) -> Remembered | None:
        """The last answer to an equal question, or ``None``."""
        found = self._answers.get(question)
        if found is not None:
            self._answers.move_to_end(question)
        return found

    def has(self, question: Question, answer: Remembered) -> bool:
        """Whether this is still the last answer to a question."""
        return self._answers.get(question) is answer

    def put(self, question: Question, answer: Remembered) -> None:
        """Remember an answer, and drop those that were not asked for the longest time."""
        self._drop(question)
        self._answers[question] = answer
        self._size_bytes += answer.size_bytes
        while len(self._answers) > self._max_entries or self._size_bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def shrink(self) -> None:
        """Drop half of what is remembered, those that were not asked for the longest time."""
        keep_bytes = self._size_bytes // 2
        while self._answers and self._size_bytes > keep_bytes:
            self._drop(next(iter(self._answers)))

    def forget(self, question: Question) -> None:
        """Forget the answer to a question, because another one may have been accepted since."""
        self._drop(question)

    def clear(self) -> None:
        """Forget all, because what they were checked against has changed."""
        self._answers.clear()
        self._size_bytes = 0

    def _drop(self, question: Question) -> None:
        dropped = self._answers.pop(question, None)
        if dropped is not None:
            self._size_bytes -= dropped.size_bytes

    @property
    def entries(self) -> int:
        """How many answers are remembered."""
        return len(self._answers)

    @property
    def size_bytes(self) -> int:
        """What they hold in memory, about."""
        return self._size_bytes

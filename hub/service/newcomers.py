"""What happens with a question that has no baseline: it inherits one, or gets a first one if there is room.

A new baseline is counted, and questions that are always new are noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.guard import GuardPolicy
    from hub.core.question import Question
    from hub.service.eviction import Eviction
    from hub.service.inheritance import Inheritance
    from hub.service.uses import Uses
    from hub.service.variety import Variety


class Newcomers:
    """Questions without a baseline."""

    def __init__(self, *, uses: Uses, eviction: Eviction, inheritance: Inheritance, variety: Variety) -> None:
        self._uses = uses
        self._eviction = eviction
        self._inheritance = inheritance
        self._variety = variety

    async def inherit(self, key: str, question: Question, asked: Question) -> bool:
        """Give a question the baseline that it had under another key; whether there was one.

        Raises:
            StoreDamaged: it cannot be read.
            StoreFailed: it could not be read or written.
        """
        return await self._inheritance.inherit(key, question, asked)

    def admits(self, policy: GuardPolicy) -> bool:
        """Whether a question gets a first baseline; a guard that only observes lets it pass without one.

        Raises:
            BaselinesFull: there is no room for one, so its answer must not leave.
        """
        if self._eviction.has_room():
            return True
        if policy.mode == "observe":
            return False
        raise self._eviction.refusal()

    def answered(self, key: str, question: Question) -> None:
        """A question has got its first baseline."""
        self._uses.made(key, question)
        self._variety.first(key, question)

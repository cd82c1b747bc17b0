"""Notices about keys: that none identify the sets of a backend, and that taught ones do not fit an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.answer import Notice
from hub.core.events import AnswerNoticed

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.keys import Identification
    from hub.core.question import Question
    from hub.service.ports import Events

UNKNOWN_KEYS = "unknown_keys"
UNFIT_KEYS = "unfit_keys"


class Remarks:
    """Makes them; the first kind once for each route and backend."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: set[tuple[str, str]] = set()

    def on(self, question: Question, answer: Answer, identification: Identification) -> None:
        """Remark on an answer that is new."""
        for backend in identification.keyless(tuple(answer.members)):
            if answer.count and (question.route, backend) not in self._told:
                self._told.add((question.route, backend))
                self._tell(question, backend, Notice(kind=UNKNOWN_KEYS, text=_UNKNOWN, severity="info"))
        if answer.unfit:
            text = f"the taught keys do not fit this answer, so whole sets count: {answer.unfit}"
            self._tell(question, next(iter(answer.members), ""), Notice(kind=UNFIT_KEYS, text=text))

    def _tell(self, question: Question, backend: str, notice: Notice) -> None:
        self._events.emit(
            AnswerNoticed(
                backend=backend,
                route=question.route,
                application_set_name=question.application_set_name,
                notice=notice,
            )
        )


_UNKNOWN = (
    "no unique_by says which keys identify a set, so the guard cannot tell a changed set from a missing one, and holds "
    "a release that changes many; set unique_by of the route or the backend in hub.yaml, or in the backend itself"
)

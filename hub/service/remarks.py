"""Notices about an answer beside earlier ones: no keys identify its sets, taught ones do not fit, a list is shorter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.answer import Notice
from hub.core.events import AnswerNoticed
from hub.core.lists import shrunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.combine import Answer
    from hub.core.guard import GuardPolicy
    from hub.core.keys import Identification
    from hub.core.question import Question
    from hub.service.ports import Events

UNKNOWN_KEYS = "unknown_keys"
UNFIT_KEYS = "unfit_keys"
SHRUNK_LIST = "shrunk_list"


class Remarks:
    """Makes them; that no keys are known, once for each route and backend."""

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

    def on_lists(self, question: Question, answer: Answer, before: Mapping[str, int], policy: GuardPolicy) -> None:
        """Remark on lists in an accepted answer that lost many of their elements."""
        for key, (count, now) in shrunk(before, answer.lists, policy).items():
            text = (
                f'the lists under the key "{key}" have {now} elements in this answer, and had {count} in the one '
                "before; if each becomes an Application, name the list in guard.count"
            )
            self._tell(question, ", ".join(answer.members), Notice(kind=SHRUNK_LIST, text=text))

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

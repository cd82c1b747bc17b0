"""Notices inputs that differ in every question, so that there is never a baseline to compare an answer with.

Statistics only, within bounds. A matrix asks many questions that differ in one input too, but asks each of them again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from hub.core.events import InputVaries
from hub.core.question import EMPTY_INPUT
from hub.service import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hub.core.question import Question
    from hub.service.ports import Events, WallClock

VALUES = 5
"""This many values of one input, none of them asked twice, are no coincidence."""

_WINDOW_S = 86400.0  # For longer, no value counts.
_APART_S = 30.0  # The rows of a matrix come one after the other; those within this time count as one.
_LONG_ENOUGH_S = 1200.0  # From the first value to the last. What was asked again by then is known.
_MAX_VALUES = 48  # Of one group.
_MAX_KEYS = 8  # Of one input.
_MAX_INPUT_BYTES = 8192
_MAX_GROUPS = 4096
_MAX_FOUND = 1000

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

_Values = tuple[tuple[float, str], ...]  # When each was asked first, and its question's key in the store.


class Variety:
    """What first questions have in common."""

    def __init__(self, *, events: Events, clock: WallClock, asked_again: Callable[[str], bool]) -> None:
        self._events = events
        self._clock = clock
        self._asked_again = asked_again
        self._groups: OrderedDict[str, _Values] = OrderedDict()
        self._found: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def first(self, key: str, question: Question) -> None:
        """A question was answered that had no baseline; ``key`` is its key in the store."""
        if question.input_json == EMPTY_INPUT or len(question.input_json) > _MAX_INPUT_BYTES:
            return
        now_s = self._clock()
        for varying, group in _groups(question):
            values = self._groups.pop(group, ())
            if not values or not 0 <= now_s - values[-1][0] < _APART_S:
                values = self._looked_at(varying, question, (*values, (now_s, key)))
            self._groups[group] = values
            if len(self._groups) > _MAX_GROUPS:
                self._groups.popitem(last=False)

    def _looked_at(self, varying: str, question: Question, values: _Values) -> _Values:
        """The values that count from now on, of one input whose others are equal."""
        now_s = values[-1][0]
        values = tuple(one for one in values if 0 <= now_s - one[0] <= _WINDOW_S)[-_MAX_VALUES:]
        if len(values) < VALUES or now_s - values[0][0] < _LONG_ENOUGH_S:
            return values
        if any(self._asked_again(asked) for _, asked in values):
            return ()
        self._find(question.route, question.application_set_name, varying)
        return values

    def _find(self, route: str, name: str, key: str) -> None:
        found = (route, name, key)
        if found in self._found:
            return
        self._found[found] = None
        if len(self._found) > _MAX_FOUND:
            self._found.popitem(last=False)
        self._events.emit(InputVaries(route=route, application_set_name=name, key=key, values=VALUES))

    def of(self, route: str, application_set_name: str) -> tuple[str, ...]:
        """The inputs that differ in every question about a name."""
        return tuple(key for of, name, key in self._found if (of, name) == (route, application_set_name))


def _groups(question: Question) -> Iterator[tuple[str, str]]:
    """Each input, with a digest of all else that makes the question."""
    parameters = _decode(question.input_json)
    if len(parameters) > _MAX_KEYS:
        return
    whose = (question.client, question.route, question.application_set_namespace, question.application_set_name)
    for key in parameters:
        rest = {other: value for other, value in parameters.items() if other != key}
        yield key, records.digest(_encode((*whose, key, rest)))

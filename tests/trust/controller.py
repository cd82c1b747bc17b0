"""What Argo CD's ApplicationSet controller makes of a plugin's raw HTTP response.

A model of its client, written fresh from the facts in the design and checked against what the real one was seen to do.
Whatever is a success here, the controller acts on: it deletes the Applications of the sets that are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.trust.framing import Response, TransportError, read_response
from tests.trust.gojson import Ended, JsonError, Pairs, first_value, holds_overflow

_FOLDED = str.maketrans({"\N{LATIN SMALL LETTER LONG S}": "s", "\N{KELVIN SIGN}": "k"})
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An error, which changes nothing; or the parameter sets that the controller acts on (``None``: a nil map)."""

    error: str = ""
    sets: tuple[dict[str, Any] | None, ...] = ()
    response: Response | None = None

    @property
    def is_error(self) -> bool:
        return bool(self.error)

    @property
    def count(self) -> int:
        return len(self.sets)


def decide(raw: bytes) -> Verdict:
    """What the controller makes of all that it could read of a response."""
    try:
        response = read_response(raw)
    except TransportError as error:
        return Verdict(error=str(error))
    if response.status in _MOVED and b"location" in response.headers:
        return Verdict(error="moved: who answers then is not known here", response=response)
    if not 200 <= response.status <= 299:
        return Verdict(error=f"API error with status code {response.status}", response=response)
    answer = _Answer()
    try:
        answer.take(first_value(response.body.data, whole=response.body.whole))
    except Ended:
        return Verdict(response=response)
    except JsonError as error:
        return Verdict(error=str(error), response=response)
    return Verdict(sets=tuple(answer.sets), response=response)


class _Answer:
    """Go's struct for an answer, and how decoding fills it: keys in any case, repeated ones into what is there."""

    def __init__(self) -> None:
        self._slots: list[dict[str, Any] | None] = []
        self._length = 0

    @property
    def sets(self) -> list[dict[str, Any] | None]:
        return self._slots[: self._length]

    def take(self, root: Any) -> None:
        for output in _fields(root, "output"):
            for parameters in _fields(output, "parameters"):
                self._take_list(parameters)

    def _take_list(self, value: Any) -> None:
        if value is None:
            self._slots, self._length = [], 0
            return
        if not isinstance(value, list):
            raise JsonError("cannot unmarshal into a list")
        for index, element in enumerate(value):
            if index == len(self._slots):
                self._slots.append(None)
            # A slot of an earlier list of the same name is decoded into, not replaced.
            self._slots[index] = _merged(self._slots[index], element)
        self._length = len(value)
        if not value:
            self._slots = []


def _fields(value: Any, name: str) -> list[Any]:
    """The values under a field's name, in order; null leaves a struct as it was."""
    if value is None:
        return []
    if not isinstance(value, Pairs):
        raise JsonError("cannot unmarshal into a struct")
    return [inner for key, inner in value.items if _folded(key) == name]


def _folded(key: str) -> str:
    translated = key.translate(_FOLDED)
    return translated.lower() if translated.isascii() else key


def _merged(known: dict[str, Any] | None, element: Any) -> dict[str, Any] | None:
    if element is None:
        return None
    if not isinstance(element, dict):
        raise JsonError("cannot unmarshal into a map")
    if holds_overflow(element):
        raise JsonError("cannot unmarshal number into float64")
    return {**(known or {}), **element}

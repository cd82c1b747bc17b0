"""How a route wants values written, because Argo CD's templates are not exact.

Argo CD reads every number as a float of 64 bits: 1234567 renders as ``1.234567e+06``, and digits beyond the sixteenth
are lost; null renders as text of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hub.core.answer import place, shown
from hub.core.errors import AnswerRefused, InputRefused
from hub.core.flattened import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.flattened import Path

Numbers = Literal["exact", "text"]
Nulls = Literal["keep", "drop", "refuse"]


class ValueRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a route does with values.

    ``numbers``: ``text`` turns integers of any size into text, digit by digit as the backend wrote them.
    ``nulls``: ``drop`` leaves keys out whose value is null. ``echo``: inputs that are copied into each set.
    """

    numbers: Numbers = "exact"
    nulls: Nulls = "keep"
    echo: tuple[str, ...] = ()

    @property
    def change_nothing(self) -> bool:
        """Whether sets leave as they came."""
        return self.numbers == "exact" and self.nulls == "keep" and not self.echo

    def silences(self, kind: str) -> bool:
        """Whether a notice of this kind says nothing any more, because these rules take care of it."""
        return (kind == "large_number" and self.numbers == "text") or (kind == "null_value" and self.nulls != "keep")


_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def check_echo(rules: ValueRules, parameters: Mapping[str, Any], route: str) -> None:
    """Check that the input has what the route copies.

    Raises:
        InputRefused: a key is missing.
    """
    for key in rules.echo:
        if key not in parameters:
            raise InputRefused(f'the input lacks {shown(key)}, which route "{route}" copies into each set')


def rewrite(
    sets: list[dict[str, Any]], rules: ValueRules, parameters: Mapping[str, Any], subject: str
) -> list[dict[str, Any]]:
    """The sets as the route wants them; the given ones stay as they are.

    Raises:
        AnswerRefused: a null is where the rules allow none, or a set contradicts an input that is copied into it.
    """
    writer = _Writer(rules, subject, len(sets))
    return [writer.rewrite(index, one, parameters) for index, one in enumerate(sets)]


class _Writer:
    """One pass over an answer's sets."""

    __slots__ = ("_index", "_rules", "_subject", "_total")

    def __init__(self, rules: ValueRules, subject: str, total: int) -> None:
        self._rules = rules
        self._subject = subject
        self._total = total
        self._index = 0

    def rewrite(self, index: int, one: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        self._index = index
        written: dict[str, Any] = self._value(self._echoed(one, parameters), None)
        if not written:
            raise AnswerRefused(f"{self._subject}: {place(index, self._total)} has nothing but nulls")
        return written

    def _echoed(self, one: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        if not self._rules.echo:
            return one
        echoed = dict(one)
        for key in self._rules.echo:
            if key in one and _encode_sorted(one[key]) != _encode_sorted(parameters[key]):
                raise AnswerRefused(
                    f"{self._subject}: {place(self._index, self._total, key)} differs from the input of that name"
                )
            echoed[key] = parameters[key]
        return echoed

    def _value(self, value: Any, path: Path | None) -> Any:
        if type(value) is str or type(value) is bool:
            return value
        if type(value) is int or type(value) is float:
            return self._number(value)
        if value is None:
            return self._null(path)
        if type(value) is list:
            return [self._element(inner, (path, position)) for position, inner in enumerate(value)]
        return {
            key: self._value(inner, (path, key))
            for key, inner in value.items()
            if inner is not None or self._rules.nulls != "drop"
        }

    def _number(self, value: float) -> Any:
        if self._rules.numbers == "exact":
            return value
        if type(value) is int:
            return str(value)
        # The one integer that Python's integers cannot hold.
        return "-0" if value == 0 and str(value) == "-0.0" else value

    def _null(self, path: Path | None) -> None:
        if self._rules.nulls == "refuse":
            raise AnswerRefused(f"{self._subject}: {self._place(path)} is null")

    def _element(self, value: Any, path: Path) -> Any:
        if value is None and self._rules.nulls == "drop":
            raise AnswerRefused(
                f"{self._subject}: {self._place(path)} is a null in a list, which cannot be "
                "dropped without moving its neighbours"
            )
        return self._value(value, path)

    def _place(self, path: Path | None) -> str:
        return place(self._index, self._total, None if path is None else named(path))

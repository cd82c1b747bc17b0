"""How much work a schema can make of an input: an upper bound that follows from the schema alone.

A schema without cycles applies each of its parts, once for each way to it, to each value of the input at most once. So
the number of these parts, each as heavy as its keywords, times the size of the input bounds the work. What this module
does not know has no bound: it is checked where it can be stopped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REFERENCES = 32
"""``$ref``s that follow each other without anything between them."""

_MOST = 20_000  # Beyond this there is no bound worth knowing.
_MAX_LEVELS = 64  # Of parts inside each other: the library's checks recurse.
_TRIED_AGAIN = 3  # A part that may fail is tried, and again for the message.

_ONE = ("additionalItems", "additionalProperties", "contains", "items", "propertyNames")
_ONE_TRIED = ("else", "if", "not", "then")
_MANY = ("allOf", "items", "prefixItems")
_MANY_TRIED = ("anyOf", "oneOf")
# Definitions are not applied unless something refers to them, but all of them are compiled.
_NAMED = ("$defs", "definitions", "dependentSchemas", "properties")
_PATTERNED = "patternProperties"

_PLAIN = frozenset((
    "$comment", "$schema", "default", "dependentRequired", "deprecated", "description",
    "examples", "exclusiveMaximum", "exclusiveMinimum", "maxContains", "maxItems", "maxLength", "maxProperties",
    "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "readOnly", "required",
    "title", "type", "uniqueItems", "writeOnly",
))  # fmt: skip
_FORMATS = frozenset((
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
))  # fmt: skip
_FORMAT_COST = 20

_COUNTED = re.compile(r"\{(\d*)(?:,(\d*))?\}")
# Python refuses to convert thousands of digits, and no list is that long. The library reads "00" as 0.
_INDEX = re.compile(r"0*([0-9]{1,9})")


class Unbounded(Exception):
    """No bound follows from the schema."""


def cost(schema: Any) -> int | None:
    """The bound for an input of one value; ``None`` if there is none, or it is not worth knowing."""
    try:
        return _Walk(schema).part(schema, 0)
    except Unbounded:
        return None


def looping(schema: Any) -> str:
    """A ``$ref`` that starts a chain which is too long or never ends; empty if there is none."""
    walk = _Walk(schema)
    for reference in _references(schema):
        target, steps = walk.target(reference), 1
        while isinstance(target, dict) and isinstance(target.get("$ref"), str):
            steps += 1
            if steps > MAX_REFERENCES:
                return reference
            target = walk.target(target["$ref"])
    return ""


class _Walk:
    """One walk through a schema, with every reference followed."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._following: set[str] = set()
        self._targets: dict[str, Any] = {}
        self._counted = 0

    def part(self, schema: Any, level: int) -> int:
        if isinstance(schema, bool):
            return 1
        if not isinstance(schema, dict) or level > _MAX_LEVELS:
            raise Unbounded
        self._counted += 1
        if self._counted > _MOST:
            raise Unbounded
        total = 1
        for keyword, value in schema.items():
            total += self._keyword(keyword, value, level + 1)
            if total > _MOST:
                raise Unbounded
        return total

    def _keyword(self, keyword: str, value: Any, level: int) -> int:  # noqa: PLR0911 - one for each kind.
        if keyword in _PLAIN:
            return 1
        if keyword in _NAMED and isinstance(value, dict):
            return sum(self.part(one, level) for one in value.values())
        if keyword in _MANY_TRIED and isinstance(value, list):
            return _TRIED_AGAIN * sum(self.part(one, level) for one in value)
        if keyword in _MANY and isinstance(value, list):
            return sum(self.part(one, level) for one in value)
        if keyword in _ONE_TRIED:
            return _TRIED_AGAIN * self.part(value, level)
        if keyword in _ONE:
            return self.part(value, level)
        if keyword == _PATTERNED and isinstance(value, dict):
            return sum(_pattern_cost(pattern) + self.part(one, level) for pattern, one in value.items())
        return self._other(keyword, value, level)

    def _other(self, keyword: str, value: Any, level: int) -> int:
        if keyword == "$ref" and isinstance(value, str):
            if value in self._following:
                raise Unbounded
            self._following.add(value)
            try:
                return self.part(self.target(value), level)
            finally:
                self._following.discard(value)
        if keyword in ("const", "enum"):
            return _values_in(value)
        if keyword == "pattern" and isinstance(value, str):
            return _pattern_cost(value)
        if keyword == "format" and isinstance(value, str) and value in _FORMATS:
            return _FORMAT_COST
        raise Unbounded

    def target(self, reference: str) -> Any:
        """What a reference within the document points to; ``None`` for any other."""
        if reference not in self._targets:
            self._targets[reference] = self._found(reference)
        return self._targets[reference]

    def _found(self, reference: str) -> Any:
        if not reference.startswith("#") or "%" in reference:
            return None
        found = self._root
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            index = _INDEX.fullmatch(key)
            if isinstance(found, list) and index and int(index[1]) < len(found):
                found = found[int(index[1])]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                return None
        return found


def _pattern_cost(pattern: str) -> int:
    """The library's expressions take time in proportion to the text and to the expression, repetitions written out."""
    size = len(pattern)
    for least, most in _COUNTED.findall(pattern):
        times = most or least or "1"
        if len(times) > len(str(_MOST)):
            raise Unbounded
        size *= max(1, int(times))
        if size > _MOST:
            raise Unbounded
    return size


def _values_in(value: Any) -> int:
    ahead, count = [value], 0
    while ahead:
        one = ahead.pop()
        count += 1
        if isinstance(one, dict):
            ahead.extend(one.values())
        elif isinstance(one, list):
            ahead.extend(one)
    return count


def _references(schema: Any) -> Iterator[str]:
    ahead = [schema]
    while ahead:
        one = ahead.pop()
        if isinstance(one, dict):
            if isinstance(reference := one.get("$ref"), str):
                yield reference
            ahead.extend(one.values())
        elif isinstance(one, list):
            ahead.extend(one)

"""Glob patterns on names, and an index that finds the matching ones without trying them all.

``*`` any text, ``?`` one character, ``[abc]`` one of these; case counts.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

_WILDCARD = re.compile(r"[*?\[]")

_LAST_WILDCARD = re.compile(r"[*?\]]")  # Where it ends.


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for one pattern.

    The common shapes, ``name``, ``prefix*`` and ``*``, cost a comparison; only the others cost a regular expression.
    """
    if pattern == "*":
        return lambda _: True
    found = _WILDCARD.search(pattern)
    if found is None:
        return pattern.__eq__
    if found.start() == len(pattern) - 1 and pattern.endswith("*"):
        prefix = pattern[:-1]
        return lambda name: name.startswith(prefix)
    return _LazyRegex(pattern)


class _LazyRegex:
    """A pattern that is compiled when it is first tried: ten thousand routes must not slow the start."""

    __slots__ = ("_match", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._match: Callable[[str], object] | None = None

    def __call__(self, name: str) -> bool:
        if self._match is None:
            self._match = re.compile(translate(self._pattern)).match
        return self._match(name) is not None


def any_matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns matches. For a few patterns; an index is for many."""
    return any(matcher(pattern)(name) for pattern in patterns)


def may_overlap(one: str, other: str) -> bool:
    """Whether some name may match both patterns.

    False only if no name can: it looks at what the patterns begin and end with, or, if one of them has no wildcard, at
    the other one. Such as ``a?`` and ``a??`` are taken for overlapping.
    """
    for literal, pattern in ((one, other), (other, one)):
        if _WILDCARD.search(literal) is None:
            return matcher(pattern)(literal)
    prefix, other_prefix = literal_prefix(one), literal_prefix(other)
    suffix, other_suffix = literal_suffix(one), literal_suffix(other)
    return (prefix.startswith(other_prefix) or other_prefix.startswith(prefix)) and (
        suffix.endswith(other_suffix) or other_suffix.endswith(suffix)
    )


def without_overlap(patterns: Iterable[str], others: Sequence[str]) -> tuple[str, ...]:
    """Those of the patterns that can match no name that one of the others matches."""
    if "*" in others:
        return ()
    return tuple(pattern for pattern in patterns if not any(may_overlap(pattern, other) for other in others))


def literal_suffix(pattern: str) -> str:
    """The text after the last wildcard."""
    return _LAST_WILDCARD.split(pattern)[-1]


def literal_prefix(pattern: str) -> str:
    """The text before the first wildcard."""
    found = _WILDCARD.search(pattern)
    return pattern if found is None else pattern[: found.start()]


class PatternIndex(Generic[T]):
    """Values under patterns; a look-up tries only those patterns whose literal prefix the name starts with."""

    def __init__(self, entries: Iterable[tuple[Sequence[str], T]]) -> None:
        """Index each value under each of its patterns; the order of the entries is kept."""
        self._buckets: dict[str, list[tuple[int, Callable[[str], bool]]]] = {}
        self._values: list[T] = []
        for order, (patterns, value) in enumerate(entries):
            self._values.append(value)
            for pattern in patterns:
                self._buckets.setdefault(literal_prefix(pattern), []).append((order, matcher(pattern)))
        self._lengths = sorted({len(prefix) for prefix in self._buckets})

    def matching(self, name: str) -> list[T]:
        """The values with a pattern that matches, each once, in the order in which they were given."""
        found = {
            order
            for length in self._lengths
            if length <= len(name)
            for order, matches in self._buckets.get(name[:length], ())
            if matches(name)
        }
        return [self._values[order] for order in sorted(found)]

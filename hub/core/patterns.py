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

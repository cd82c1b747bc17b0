"""Glob patterns on names, and an index that finds the matching ones without trying them all.

``*`` any text, ``?`` one character, ``[abc]`` one of these; case counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from fnmatch import translate
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

_WILDCARD = re.compile(r"[*?\[]")

_MAX_TRIED = 50_000

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
    grants = _Grants(others)
    return tuple(pattern for pattern in patterns if not grants.may_overlap(pattern))


class _Grants:
    """Patterns, ready to be compared with many others; as a whole it tries no more than ``_MAX_TRIED`` pairs.

    After that it takes the rest for overlapping: a thousand patterns under a thousand others must not stop the hub.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._left = _MAX_TRIED
        self._names: set[str] = set()
        self._wild: dict[str, list[tuple[str, Callable[[str], bool]]]] = {}
        for one in patterns:
            if _WILDCARD.search(one) is None:
                self._names.add(one)
            else:
                self._wild.setdefault(literal_prefix(one), []).append((literal_suffix(one), matcher(one)))
        self._sorted = sorted(self._names)
        self._prefixes = sorted(self._wild)

    def may_overlap(self, pattern: str) -> bool:
        """Whether some name may match both the pattern and one of these."""
        if _WILDCARD.search(pattern) is None:
            return pattern in self._names or self._any(matches(pattern) for _, matches in self._above(pattern))
        prefix, suffix, matches = literal_prefix(pattern), literal_suffix(pattern), matcher(pattern)
        return self._any(
            suffix.endswith(other) or other.endswith(suffix)
            for other, _ in chain(self._above(prefix), self._below(prefix))
        ) or self._any(map(matches, _starting(self._sorted, prefix)))

    def _any(self, overlaps: Iterable[bool]) -> bool:
        for found in overlaps:
            self._left -= 1
            if found or self._left < 0:
                return True
        return False

    def _above(self, text: str) -> Iterator[tuple[str, Callable[[str], bool]]]:
        """Those whose prefix the text starts with."""
        return chain.from_iterable(self._wild.get(text[:length], ()) for length in range(len(text) + 1))

    def _below(self, prefix: str) -> Iterator[tuple[str, Callable[[str], bool]]]:
        """Those whose prefix is longer than this one, and starts with it."""
        longer = (one for one in _starting(self._prefixes, prefix) if one != prefix)
        return chain.from_iterable(self._wild[one] for one in longer)


def _starting(texts: Sequence[str], prefix: str) -> Iterator[str]:
    """Those of the sorted texts that start with a prefix."""
    first = bisect_left(texts, prefix)
    return takewhile(lambda one: one.startswith(prefix), islice(texts, first, None))


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

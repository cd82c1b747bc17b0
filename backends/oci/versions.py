"""Semantic versions (semver.org, 2.0.0) and ranges of them.

Pure. A range is comparators that must all hold, separated by spaces or commas; `||` separates alternatives:
`>=1.2 <2`, `^1.4`, `~1.4.2`, `1.4.x`, `1.2 || 1.4`. Missing numbers stand for any. A pre-release counts only where
the same alternative names one, as in `>=1.4.0-0`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NUMBER = r"0|[1-9][0-9]{0,18}"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIERS}))?\Z")
_COMPARATOR = re.compile(
    rf"(|=|>=|<=|>|<|\^|~)v?({_NUMBER}|[xX*])(?:\.({_NUMBER}|[xX*]))?(?:\.({_NUMBER}|[xX*]))?(?:-({_IDENTIFIERS}))?\Z"
)
_WILD = {None, "x", "X", "*"}

Triple = tuple[int, int, int]
_Order = tuple[Triple, bool, tuple[tuple[bool, int, str], ...]]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """One version, ordered by precedence."""

    order: _Order = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Return the version that `text` writes in full, a leading `v` allowed; None when it writes none."""
        found = _VERSION.match(text)
        if found is None:
            return None
        pre_release = found[4] or ""
        if any(re.match(r"0[0-9]+\Z", identifier) for identifier in pre_release.split(".")):
            return None
        return cls.of((int(found[1]), int(found[2]), int(found[3])), pre_release)

    @classmethod
    def of(cls, triple: Triple, pre_release: str = "") -> Version:
        """Return the version of these numbers."""
        identifiers = pre_release.split(".") if pre_release else []
        return cls((triple, not identifiers, tuple(map(_rank, identifiers))))

    @property
    def is_pre_release(self) -> bool:
        """Whether it comes before the release of the same numbers."""
        return not self.order[1]


def _rank(identifier: str) -> tuple[bool, int, str]:
    """Return the order of an identifier: numbers by value, before words."""
    return (False, int(identifier), "") if identifier.isdecimal() else (True, 0, identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """From `low`, to below `high`; None is open. `pre_releases`: whether those count."""

    low: Version | None
    high: Version | None
    pre_releases: bool

    def holds(self, version: Version) -> bool:
        return (self.low is None or self.low <= version) and (self.high is None or version < self.high)


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions."""

    alternatives: tuple[tuple[_Bounds, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Return the range that `text` writes.

        Raises:
            ValueError: it writes none; the message quotes the part.
        """
        return cls(tuple(_parse_alternative(part) for part in text.split("||")))

    def __contains__(self, version: Version) -> bool:
        return any(_holds(bounds, version) for bounds in self.alternatives)


def _holds(alternative: tuple[_Bounds, ...], version: Version) -> bool:
    if version.is_pre_release and not any(bounds.pre_releases for bounds in alternative):
        return False
    return all(bounds.holds(version) for bounds in alternative)


def _parse_alternative(text: str) -> tuple[_Bounds, ...]:
    # An operator may stand apart from its version.
    parts = re.sub(r"([<>=^~])\s+", r"\1", text.replace(",", " ")).split()
    if not parts:
        raise ValueError("has an alternative without a version")
    return tuple(map(_parse_comparator, parts))


def _parse_comparator(text: str) -> _Bounds:
    found = _COMPARATOR.match(text)
    if found is None:
        raise ValueError(f'"{text}" is no version with an operator such as ">=1.2", "^1.2" or "~1.2.3"')
    operator, pre_release = found[1], found[5] or ""
    numbers = _numbers_before_wild((found[2], found[3], found[4]))
    if pre_release and len(numbers) < 3:  # noqa: PLR2004 - a version has three numbers.
        raise ValueError(f'"{text}" names a pre-release of no certain version')
    if not numbers and operator in {"<", ">"}:
        raise ValueError(f'"{text}" holds for no version')
    low, high = _bounds(operator, numbers, pre_release)
    return _Bounds(low=low, high=high, pre_releases=bool(pre_release))


def _numbers_before_wild(texts: tuple[str | None, ...]) -> list[int]:
    numbers: list[int] = []
    for text in texts:
        if text is None or text in _WILD:
            break
        numbers.append(int(text))
    return numbers


def _bounds(operator: str, numbers: list[int], pre_release: str) -> tuple[Version | None, Version | None]:
    """Return the first version inside and the first one beyond, as far as there are any."""
    if not numbers:
        return None, None
    first = Version.of(_padded(numbers), pre_release)
    after = _after(numbers, pre_release)
    bounds = {
        ">=": (first, None),
        "<": (None, first),
        ">": (after, None),
        "<=": (None, after),
        "^": (first, _next(numbers, _leading(numbers))),
        "~": (first, _next(numbers, min(1, len(numbers) - 1))),
    }
    return bounds.get(operator, (first, after))


def _after(numbers: list[int], pre_release: str) -> Version:
    """Return the first version after all that `numbers` stand for."""
    if pre_release:
        # Nothing lies between an identifier list and the same with the smallest one appended.
        return Version.of(_padded(numbers), f"{pre_release}.0")
    return _next(numbers, len(numbers) - 1)


def _next(numbers: list[int], place: int) -> Version:
    """Return the first pre-release of the version in which the number at `place` is one more."""
    return Version.of(_padded([*numbers[:place], numbers[place] + 1]), "0")


def _leading(numbers: list[int]) -> int:
    """Return the place of the number that `^` keeps: the first that is not 0."""
    return next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)


def _padded(numbers: list[int]) -> Triple:
    major, minor, patch = [*numbers, 0, 0][:3]
    return major, minor, patch

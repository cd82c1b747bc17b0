"""Which tags of a repository are meant. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from backends.oci.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backends.oci.versions import Range

_DIGITS = re.compile(r"([0-9]+)")


def matching(tags: Iterable[str], pattern: str) -> list[str]:
    """Return the tags that the glob pattern takes in."""
    return [tag for tag in tags if fnmatchcase(tag, pattern)]


def last(tags: Iterable[str]) -> str | None:
    """Return the last tag in the order in which people count: `main-9` comes before `main-10`."""
    return max(tags, key=_counted, default=None)


def highest(tags: Iterable[str], versions: Range) -> str | None:
    """Return the tag of the highest version in the range; other tags do not matter."""
    found = ((version, tag) for tag in tags if (version := Version.parse(tag)) is not None and version in versions)
    _, tag = max(found, default=(None, None))
    return tag


def _counted(tag: str) -> tuple[list[tuple[str, int]], str]:
    parts = _DIGITS.split(tag)
    texts, numbers = parts[::2], [*map(int, parts[1::2]), -1]
    return list(zip(texts, numbers, strict=True)), tag

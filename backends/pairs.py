"""The keys and values of a JSON object as they were written, of which a dict keeps the last of each key only."""

from __future__ import annotations

from typing import Any


def first_repeated(pairs: list[tuple[str, Any]]) -> str:
    """Return the first key that comes a second time; there is one."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key comes twice")

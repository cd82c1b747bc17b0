"""How deep values are nested, counted level by level without recursion.

How deep `json` reads and writes differs between versions of Python; what a backend takes and gives must not.
"""

from __future__ import annotations

from typing import Any

MAX_LEVELS = 200
"""Lists and dicts inside each other."""

CONTAINERS = (dict, list, tuple)


def is_deeper(value: object, levels: int = MAX_LEVELS) -> bool:
    """Tell whether more lists and dicts are inside each other than `levels`. None may hold itself."""
    level: list[Any] = [value] if isinstance(value, CONTAINERS) else []
    for _ in range(levels):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, CONTAINERS)
        ]
        if not level:
            return False
    return bool(level)

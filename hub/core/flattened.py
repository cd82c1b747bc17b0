"""The names of a set's values once nested keys are joined with dots, as Argo CD does without ``goTemplate``.

Only a key at the top has no dot before it: every other one has, also below an empty key. Lists count from zero, and
empty maps and lists have no name, because they vanish. The source is Argo CD's own flattening (github.com/jeremywohl/
flatten), and a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def joined(path: str | None, key: str) -> str:
    """The name of what is under ``key``; ``path`` is that of the map around it, ``None`` for the set itself."""
    return key if path is None else f"{path}.{key}"


def leaves(one: Any) -> Iterator[tuple[str, Any]]:
    """The values of a set that hold no others, in order, each with its name."""
    ahead: list[tuple[str | None, Any]] = [(None, one)]
    while ahead:
        path, value = ahead.pop()
        if isinstance(value, dict):
            ahead += reversed([(joined(path, key), inner) for key, inner in value.items()])
        elif isinstance(value, list):
            ahead += reversed([(joined(path, str(index)), inner) for index, inner in enumerate(value)])
        elif path is not None:
            yield path, value


def twice(one: dict[str, Any]) -> str | None:
    """A name that two values of a set have; Argo CD keeps one of them, and not always the same."""
    seen: set[str] = set()
    for path, _ in leaves(one):
        if path in seen:
            return path
        seen.add(path)
    return None

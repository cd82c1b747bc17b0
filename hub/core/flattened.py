"""The names of a set's values once nested keys are joined with dots, as Argo CD does without ``goTemplate``.

Only a key at the top has no dot before it: every other one has, also below an empty key. Lists count from zero, and
empty maps and lists have no name, because they vanish. The source is Argo CD's own flattening (github.com/jeremywohl/
flatten), and a test compares the two.

A name is written only where a message needs it: a long key around many values would be copied for each of them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple["Path | None", str | int]
"""Where a value is: the path of the map or list around it, ``None`` for the set itself, and its key or position."""

_DIGEST_BYTES = 16


def named(path: Path) -> str:
    """The name of the value at a path."""
    keys: list[str] = []
    above: Path | None = path
    while above is not None:
        above, key = above
        keys.append(str(key))
    return ".".join(reversed(keys))


def leaves(one: Any) -> Iterator[tuple[Path, Any]]:
    """The values of a set that hold no others, in order, each with its path."""
    ahead: list[tuple[Path | None, Any]] = [(None, one)]
    while ahead:
        path, value = ahead.pop()
        if isinstance(value, dict):
            ahead += reversed([((path, key), inner) for key, inner in value.items()])
        elif isinstance(value, list):
            ahead += reversed([((path, index), inner) for index, inner in enumerate(value)])
        elif path is not None:
            yield path, value


def twice(one: dict[str, Any]) -> str | None:
    """A name that two values of a set have; Argo CD keeps one of them, and not always the same."""
    seen: set[bytes] = set()
    # Names are compared by their hashes, each made from that of the name above: no name is ever whole.
    ahead: list[tuple[Path, Any, blake2b]] = [((None, key), inner, _below(None, key)) for key, inner in one.items()]
    while ahead:
        path, value, so_far = ahead.pop()
        if isinstance(value, dict | list):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            ahead += [((path, key), inner, _below(so_far, key)) for key, inner in inside]
            continue
        digest = so_far.digest()
        if digest in seen:
            return named(path)
        seen.add(digest)
    return None


def _below(above: blake2b | None, key: str | int) -> blake2b:
    if above is None:
        return blake2b(str(key).encode(), digest_size=_DIGEST_BYTES)
    below = above.copy()
    below.update(f".{key}".encode())
    return below

"""What keys that identify a parameter set may look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_KEYS = 8
_LONGEST_KEY = 253
"""As the hub checks them."""


def key_problems(keys: object) -> Iterator[str]:
    """Say what is wrong with the keys, one line for each problem."""
    if isinstance(keys, str):
        yield f'unique_by: expected a list of keys, got text; did you mean ["{keys}"]?'
    elif not isinstance(keys, Sequence) or isinstance(keys, bytes):
        yield f'unique_by: expected a list of keys, such as ["name"], got {type(keys).__name__}'
    elif len(keys) > _MOST_KEYS:
        yield f"unique_by: has {len(keys)} keys; at most {_MOST_KEYS} are allowed"
    else:
        for index, key in enumerate(keys):
            if not isinstance(key, str):
                yield f"unique_by[{index}]: expected a key as text, got {type(key).__name__}"
            elif not key or len(key) > _LONGEST_KEY or not key.isprintable():
                yield f"unique_by[{index}]: expected 1 to {_LONGEST_KEY} printable characters, got {key[:40]!r}"
            elif key in keys[:index]:
                yield f'unique_by[{index}]: duplicate key "{key}"'

"""What stays the same from one answer to the next, byte by byte.

Most large answers change in a few sets. What stands before and behind those was checked once, and need not be read
again. Only bytes are compared here: what is not the same byte by byte has changed.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode

_COMMA = b","


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """How a JSON array of objects came to be from another: so many of its first and last objects are the old ones.

    ``middle`` is the array of what stands between them, which nobody has read yet.
    """

    first: int
    last: int
    middle: bytes


def starts(objects_json: bytes) -> array[int]:
    """Where each object of a compact JSON array starts, in bytes."""
    return _running(1, objects_json)


def amendment(before: bytes, before_starts: Sequence[int], after: bytes) -> Amendment | None:
    """How a compact JSON array of objects became ``after``; ``None`` if they have nothing in common.

    If ``middle`` is a JSON array, then so is ``after``: the objects that stay are whole, and commas part them from the
    rest.
    """
    if not (after.startswith(b"[") and after.endswith(b"]")):
        return None
    old, count, grown = memoryview(before), len(before_starts), len(after) - len(before)

    def end_of(objects: int) -> int:
        """Where the first so many objects end: at the comma or the bracket behind them."""
        return (before_starts[objects] if objects < count else len(before)) - 1

    def starts_alike(low: int, high: int) -> bool:
        begin = end_of(low) if low else 0
        return after.startswith(old[begin : end_of(high)], begin)

    first = _most(count, starts_alike)
    from_byte = end_of(first) + 1 if first else 1

    def ends_alike(low: int, high: int) -> bool:
        begin, end = before_starts[count - high], before_starts[count - low] if low else len(before)
        return begin + grown >= from_byte and after.startswith(old[begin:end], begin + grown)

    last = _most(count - first, ends_alike)
    to_byte = before_starts[count - last] + grown - 1 if last else len(after) - 1
    if not _is_parted(after, from_byte, to_byte, first, last):
        return None
    return Amendment(first=first, last=last, middle=b"[%b]" % after[from_byte:to_byte])


def starts_after(before_starts: array[int], made: Amendment, before: bytes, after: bytes) -> array[int]:
    """``starts`` of an amended array, from those before: only the middle is looked at."""
    count, grown = len(before_starts), len(after) - len(before)
    head, tail = before_starts[: made.first], before_starts[count - made.last :]
    from_byte = (before_starts[made.first] if made.first < count else len(before)) if made.first else 1
    return head + _running(from_byte, made.middle) + array("I", [start + grown for start in tail])


def _is_parted(after: bytes, from_byte: int, to_byte: int, first: int, last: int) -> bool:
    """Whether the parts of an array are parted by commas, and something is between two commas."""
    if not (first or last):
        return False
    if from_byte == to_byte + 1:
        # There is no middle, and so one comma for both, or none if one end is the whole.
        return not (first and last) or after[to_byte:from_byte] == _COMMA
    return (
        from_byte < to_byte
        and (not first or after[from_byte - 1 : from_byte] == _COMMA)
        and (not last or after[to_byte : to_byte + 1] == _COMMA)
    )


def _most(limit: int, alike: Callable[[int, int], bool]) -> int:
    """The most objects that are alike; ``alike(low, high)`` tells it of those from ``low`` on."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if alike(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _running(from_byte: int, objects_json: bytes) -> array[int]:
    found = array("I")
    for one in _split(objects_json):
        found.append(from_byte)
        from_byte += memoryview(one).nbytes + 1
    return found

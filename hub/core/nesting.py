"""How deep JSON is nested, counted in its bytes before anything descends into it.

Decoders and walks recurse, and how deep they get depends on the interpreter: 3.11 stops below 1,000 levels, 3.13 at
10,000. Counting needs no stack, so that the same text is refused with the same words on each.
"""

from __future__ import annotations

from itertools import accumulate

import msgspec

MAX_LEVELS = 200
"""Lists and objects inside each other, in one value; far below what any interpreter and library reads."""

# As signed bytes: one level down, one level up. Quotes stay, for brackets in texts open nothing.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b'[{]}"'))

_CHUNK = 64 * 1024  # At a time: bounds the memory, and a flood of brackets is left at the first that is too deep.


class NestedTooDeeply(msgspec.DecodeError):
    """JSON with more levels than allowed."""


def check_levels(text: bytes, levels: int = MAX_LEVELS) -> None:
    """Check JSON before it is decoded.

    Raises:
        NestedTooDeeply: more lists and objects are inside each other than ``levels``.
    """
    if len(text) > levels and is_deeper(text, levels):
        raise NestedTooDeeply(f"nested deeper than {levels} levels")


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether more lists and objects are inside each other than ``levels``, in JSON or in what only looks like it."""
    # Most texts have fewer brackets than that.
    if len(text) <= levels or text.count(b"{") + text.count(b"[") <= levels:
        return False
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    # Most strings hold no bracket. Two quotes side by side go without changing what is inside a text.
    steps = text.translate(_STEPS, _OTHERS).replace(b'""', b"")
    level, in_text = 0, 0
    for start in range(0, len(steps), _CHUNK):
        # Quotes take turns in opening and closing a text, so every second part is one. The last may be cut off: what is
        # not JSON has a depth too.
        parts = steps[start : start + _CHUNK].split(b'"')
        outside = b"".join(parts[in_text::2])
        in_text ^= (len(parts) - 1) & 1
        reached = list(accumulate(memoryview(outside).cast("b"), initial=level))
        if max(reached) > levels:
            return True
        level = reached[-1]
    return False

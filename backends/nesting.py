"""How deep JSON and YAML are nested, counted before anything descends into them.

Decoders recurse: how deep they get depends on the interpreter, and libyaml's composer ends the process.
"""

from __future__ import annotations

from itertools import accumulate

import yaml

MAX_LEVELS = 200
"""Lists and objects inside each other; as many as the SDK lets a backend answer with."""

# As signed bytes: one level down, one level up. Quotes stay, for brackets in texts open nothing.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b'[{]}"'))

_CHUNK = 64 * 1024  # At a time: bounds the memory, and a flood of brackets is left at the first that is too deep.


def is_deeper(text: bytes, levels: int = MAX_LEVELS) -> bool:
    """Tell whether JSON, or what only looks like it, has more lists and objects inside each other than `levels`."""
    if len(text) <= levels:
        return False
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    # Most texts hold no bracket. Two quotes side by side go without changing what is inside a text.
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


def check_yaml(text: str) -> None:
    """Check a document before it is composed; an alias is as deep as what it repeats.

    Raises:
        yaml.YAMLError: it is not YAML, or nested too deeply.
    """
    anchors: list[str | None] = []  # Of the lists and maps that are open.
    inside: list[int] = []  # The most levels seen so far in each of them.
    heights: dict[str | None, int] = {}
    for event in yaml.parse(text, yaml.CSafeLoader):
        height = 0
        if isinstance(event, yaml.CollectionStartEvent):
            anchors.append(event.anchor)
            inside.append(0)
            heights[event.anchor] = MAX_LEVELS  # Until it ends: what holds itself has no bottom.
        elif isinstance(event, yaml.CollectionEndEvent):
            height = 1 + inside.pop()
            heights[anchors.pop()] = height
        elif isinstance(event, yaml.AliasEvent):
            height = heights.get(event.anchor, 0)
        if len(inside) + height > MAX_LEVELS:
            problem = f"nested deeper than {MAX_LEVELS} levels, or holds itself"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
        if inside:
            inside[-1] = max(inside[-1], height)

"""How deep JSON is, counted without descending into it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.nesting import MAX_LEVELS, NestedTooDeeply, check_levels, is_deeper

PIECES = st.lists(st.sampled_from([*'[]{}",x\\', '\\"', "\\\\", '"["', '"]"', "[" * 5]), max_size=40)


def levels_of(text: str) -> int:
    """The same, a character at a time."""
    level = deepest = 0
    in_text = escaped = False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_text = True
        elif character in "[{":
            level += 1
            deepest = max(deepest, level)
        elif character in "]}":
            level -= 1
    return deepest


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (b"", 0),
        (b'"[[["', 0),
        (b"[]", 1),
        (b'[{"a":[1]},{"b":[[]]}]', 4),
        (b'[[[["', 4),
        (b'["\\"[[[",[]]', 2),
        (b'["\\\\",[[]]]', 3),
        (b'["[","]",["[[[["]]', 2),
        (b"[" * 100_000, 100_000),
        (b"[]," * 100_000 + b"[[]]", 2),
        (b"[" + b"[]," * 100_000 + b"[[]]]", 3),
        (b"[" + b'"[",' * 100_000 + b"[]]", 2),
        (b"[[" + b'"[",' * 100_000 + b'"]"],[]]', 2),
    ],
    ids=[
        "nothing", "brackets in a text", "a list", "objects", "cut off in a text", "an escaped quote",
        "an escaped backslash", "one bracket in each text", "a flood", "many lists", "a list of many lists",
        "many texts", "many texts, one further on",
    ],
)  # fmt: skip
def test_levels_are_lists_and_objects_inside_each_other(text: bytes, levels: int) -> None:
    assert not is_deeper(text, levels)
    assert levels == 0 or is_deeper(text, levels - 1)


@given(st.recursive(st.text('[]{}"\\'), lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}"\\'), inner)))
def test_what_is_in_texts_and_keys_does_not_count(value: object) -> None:
    text = json.dumps(value)
    levels = levels_of(text)
    assert not is_deeper(text.encode(), levels)
    assert levels == 0 or is_deeper(text.encode(), levels - 1)


@given(PIECES)
def test_what_is_not_json_has_a_depth_too(pieces: list[str]) -> None:
    # Outside of texts a backslash escapes nothing, but then it is an error before a decoder gets further.
    text = "".join(pieces).split("\\")[0]
    levels = levels_of(text)
    assert not is_deeper(text.encode(), levels)
    assert levels == 0 or is_deeper(text.encode(), levels - 1)


def test_the_error_names_the_limit() -> None:
    check_levels(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS)
    with pytest.raises(NestedTooDeeply) as refused:
        check_levels(b"[" * (MAX_LEVELS + 1))
    assert str(refused.value) == "nested deeper than 200 levels"

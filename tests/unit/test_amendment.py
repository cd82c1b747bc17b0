"""An answer of which only the part that differs is read: the outcome is that of reading it whole, whatever came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.amendment import amendment, starts
from hub.core.answer import CheckedAnswer, Limits, check
from hub.core.errors import AnswerRefused

COUNT = 90
NASTY = ["plain", '},{"', '"]', "[", "\\", 'a"b', "ü😀", "\x01", "generator", "values"]


def one(number: int, text: str = "plain") -> dict[str, Any]:
    return {"name": f"{number}{text}", "padding": "x" * 200}


def compact(sets: list[Any]) -> bytes:
    return json.dumps(sets, separators=(",", ":"), ensure_ascii=False).encode()


def checked(raw: bytes, before: CheckedAnswer | None = None, **more: Any) -> CheckedAnswer:
    return check(raw, subject='backend "b"', limits=Limits(**more), before=before, identify=True)


def outcome(raw: bytes, before: CheckedAnswer | None, **more: Any) -> Any:
    """All that a check tells; that it read a part only must not show."""
    try:
        answer = checked(raw, before, **more)
    except AnswerRefused as error:
        return str(error)
    assert answer.starts is None or list(answer.starts) == list(starts(answer.sets_json))
    return answer.raw, answer.sets_json, answer.count, answer.identities, answer.notices, answer.starts is None


BEFORE = checked(compact([one(number) for number in range(COUNT)]))

sets = st.one_of(
    st.builds(one, st.integers(0, COUNT), st.sampled_from(NASTY)),
    st.dictionaries(st.sampled_from(NASTY), st.sampled_from([*NASTY, 1, -0.0, 1e7, None, True, [], {"a": "b"}])),
    st.sampled_from([1, None, [], "text"]),
)
edits = st.lists(
    st.tuples(st.sampled_from(["replace", "insert", "delete", "move", "repeat"]), st.integers(0, COUNT - 1), sets),
    max_size=4,
)
cuts = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 3),
        st.sampled_from([b"", b",", b"]", b"[", b"{", b"}", b'"', b" ", b"\xff", b"},{"]),
    ),
    max_size=2,
)


def edited(steps: list[tuple[str, int, Any]]) -> list[Any]:
    found: list[Any] = [one(number) for number in range(COUNT)]
    for step, index, new in steps:
        place = index % max(1, len(found))
        match step:
            case "replace":
                found[place : place + 1] = [new]
            case "insert":
                found.insert(place, new)
            case "delete":
                del found[place : place + 3]
            case "move":
                found.append(found.pop(place))
            case _:
                found.insert(place, found[place])
    return found


@settings(max_examples=500, deadline=None)
@given(edits, cuts)
def test_what_differs_is_found_and_the_rest_is_as_if_it_were_read(
    steps: list[tuple[str, int, Any]], broken: list[tuple[float, int, bytes]]
) -> None:
    raw = compact(edited(steps))
    for place, gone, put in broken:
        at = int(place * len(raw))
        raw = raw[:at] + put + raw[at + gone :]
    assert outcome(raw, BEFORE) == outcome(raw, None)


@pytest.mark.parametrize("at", [0, 1, COUNT // 2, COUNT - 1, COUNT])
@pytest.mark.parametrize("gone", [0, 1, 2])
@pytest.mark.parametrize("come", [0, 1, 2])
@pytest.mark.parametrize("glue", [",", "", ",,", " ,", "][", ";", "]", " ", "}", ":"])
def test_commas_count_at_every_seam(at: int, gone: int, come: int, glue: str) -> None:
    before = [compact([one(number)])[1:-1] for number in range(COUNT)]
    middle = [compact([one(number, "new")])[1:-1] for number in range(come)]
    parts = [b",".join(part) for part in (before[:at], middle, before[at + gone :]) if part]
    raw = b"[" + glue.encode().join(parts) + b"]"
    assert outcome(raw, BEFORE) == outcome(raw, None)


@pytest.mark.parametrize("raw", [b"", b"[", b"]", b"[]", b"[,]", b"[{}]", b"{}", BEFORE.raw[:-1], BEFORE.raw[1:]])
def test_what_has_nothing_in_common_is_read_whole(raw: bytes) -> None:
    assert outcome(raw, BEFORE) == outcome(raw, None)


def test_only_the_part_that_differs_is_read() -> None:
    raw = compact([one(number, "new" if number in (40, 42) else "plain") for number in range(COUNT)])
    made = amendment(BEFORE.sets_json, starts(BEFORE.sets_json), raw)
    assert made is not None
    assert (made.first, made.last) == (40, COUNT - 43)
    assert json.loads(made.middle) == [one(40, "new"), one(41), one(42, "new")]


@pytest.mark.parametrize(
    ("more", "words"),
    [({"max_sets": COUNT}, "more than"), ({"max_bytes": len(BEFORE.raw)}, "max_answer_bytes")],
    ids=["sets", "bytes"],
)
def test_limits_count_for_the_whole(more: dict[str, int], words: str) -> None:
    raw = compact([*(one(number) for number in range(COUNT)), one(COUNT)])
    assert outcome(raw, BEFORE, **more) == outcome(raw, None, **more)
    assert words in outcome(raw, BEFORE, **more)


def test_without_identities_before_there_are_some_all_the_same() -> None:
    before = check(BEFORE.raw, subject="b", limits=Limits())
    assert before.identities == ()
    raw = compact([one(number) for number in range(COUNT - 1)])
    assert checked(raw, before).identities == checked(raw).identities

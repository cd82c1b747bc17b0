"""What may leave a backend, and what is refused with its place."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from appset_hub import Answer, AnswerTooLarge, BrokenAnswer, Notice, check_parameters
from appset_hub.encoding import encode_answer
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1024 * 1024


def circle() -> dict[str, Any]:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    return ring


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        pytest.param(None, "the function returned None; it must return a list of dicts", id="nothing"),
        pytest.param(
            {"a": 1}, "the function returned a value of type dict; it must return a list of dicts", id="a dict"
        ),
        pytest.param("ab", "the function returned a value of type str; it must return a list of dicts", id="text"),
        pytest.param(iter([]), "list_iterator", id="an iterator"),
        pytest.param([{"a": 1}, None], "parameters[1] is None; a parameter set must be a dict", id="a null set"),
        pytest.param(
            [["a"]], "parameters[0] is a value of type list; a parameter set must be a dict", id="a list as set"
        ),
        pytest.param([{"a": 1}, {}], "parameters[1] is empty; a parameter set must have a key", id="an empty set"),
        pytest.param([{"a": [0, float("nan")]}], "parameters[0].a[1] is nan, which JSON does not have", id="NaN"),
        pytest.param([{"a": float("-inf")}], "parameters[0].a is -inf, which JSON does not have", id="infinity"),
        pytest.param([{1: "a"}], "parameters[0] has a key that is a value of type int; keys must", id="an int key"),
        pytest.param([{"a": [{None: 1}]}], "parameters[0].a[0] has a key that is None; keys must", id="null key"),
        pytest.param([{"a": b"x"}], "parameters[0].a is a value of type bytes, which JSON does not have", id="bytes"),
        pytest.param([{"a b": dt.date(2026, 1, 1)}], 'parameters[0]["a b"] is a value of type date', id="a date"),
        pytest.param([{"a": decimal.Decimal(1)}], "parameters[0].a is a value of type Decimal", id="a decimal"),
        pytest.param([{"a": {"b"}}], "parameters[0].a is a value of type set", id="a Python set"),
        pytest.param([{"a": "\ud800"}], "parameters[0].a has a lone surrogate", id="a lone surrogate"),
        pytest.param([{"\udfff": 1}], "parameters[0] has a key with a lone surrogate", id="a lone surrogate in a key"),
        pytest.param([{"a": 10**5000}], "parameters[0].a is an integer with more digits", id="too many digits"),
        pytest.param([circle()], "is nested too deeply, or holds itself", id="a circle"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_place(sets: object, message: str) -> None:
    with pytest.raises(BrokenAnswer) as caught:
        check_parameters(sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def nested(levels: int, inner: object = 1, wrap: Callable[[Any], Any] = lambda value: [value]) -> list[dict[str, Any]]:
    value: Any = inner
    for _ in range(levels - 1):
        value = wrap(value)
    return [{"a": value}]


WRAPS = pytest.mark.parametrize(
    "wrap",
    [lambda value: [value], lambda value: (value,), lambda value: {"k": value}],
    ids=["lists", "tuples", "dicts"],
)


# Python 3.11 encodes less than 1,000 levels, 3.13 less than 10,000.
@WRAPS
@pytest.mark.parametrize("levels", [201, 500, 990, 2000, 5000, 20_000])
@pytest.mark.parametrize("inner", [1, float("nan"), {1: 2}], ids=["fine inside", "NaN inside", "an int key inside"])
def test_sets_that_are_too_deep_are_refused_with_one_message(
    wrap: Callable[[Any], Any], levels: int, inner: object
) -> None:
    with pytest.raises(BrokenAnswer) as caught:
        check_parameters(nested(levels, inner, wrap))
    assert re.fullmatch(r"parameters\[0\]\.a[][.k0]{185} is nested too deeply, or holds itself", str(caught.value))


@WRAPS
def test_sets_of_two_hundred_levels_are_good_and_what_is_wrong_in_them_is_found(wrap: Callable[[Any], Any]) -> None:
    check_parameters(nested(200, 1, wrap))
    with pytest.raises(BrokenAnswer, match="is nan, which JSON does not have"):
        check_parameters(nested(200, float("nan"), wrap))
    with pytest.raises(BrokenAnswer, match="has a key that is a value of type int"):
        check_parameters(nested(199, {1: 2}, wrap))


def test_the_first_fault_is_named_in_the_order_of_the_sets() -> None:
    faults = {"a": {"b": [1, {"c": {2}}], "d": float("nan")}, "e": b""}
    with pytest.raises(BrokenAnswer, match=r"^parameters\[1\]\.a\.b\[1\]\.c is a value of type set"):
        check_parameters([{"x": [[], {}, ()]}, faults])


@pytest.mark.parametrize(
    ("sets", "encoded"),
    [
        pytest.param([], b"[]", id="none"),
        pytest.param(({"a": 1},), b'[{"a":1}]', id="a tuple of sets"),
        pytest.param([{"a": 10**30}], b'[{"a":1000000000000000000000000000000}]', id="an integer of any size"),
        pytest.param([{"a": "é\U0001f600"}], '[{"a":"é\U0001f600"}]'.encode(), id="text outside ASCII"),
        pytest.param([{Colour.RED: Colour.RED}], b'[{"red":"red"}]', id="text by another name"),
        pytest.param([{"a": (1, [None, True, 1.5])}], b'[{"a":[1,[null,true,1.5]]}]', id="nested"),
        pytest.param([{"": {}}], b'[{"":{}}]', id="empty key and value"),
    ],
)
def test_what_json_can_hold_leaves_exactly(sets: Any, encoded: bytes) -> None:
    assert encode_answer(sets, known_digest="", max_bytes=LIMIT).parameters_json == encoded


def digest_of(sets: Any) -> str:
    return encode_answer(sets, known_digest="", max_bytes=LIMIT).digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SETS = st.lists(st.dictionaries(st.text(), JSON, min_size=1, max_size=3), max_size=3)


@given(SETS)
def test_an_answer_without_a_digest_gets_one_that_a_copy_of_it_has_too(sets: list[dict[str, Any]]) -> None:
    assert digest_of(sets) == digest_of(json.loads(json.dumps(sets)))


@given(SETS, SETS)
def test_answers_with_different_json_have_different_digests(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    assert json.dumps(one) == json.dumps(other) or digest_of(one) != digest_of(other)


@pytest.mark.parametrize("other", [True, 1.0, "1", [1], {"a": 1}, None])
def test_what_python_calls_equal_is_told_apart(other: object) -> None:
    assert digest_of([{"a": 1}]) != digest_of([{"a": other}])
    assert digest_of([{"a": 0.0}]) != digest_of([{"a": -0.0}])


def test_an_object_that_is_there_twice_is_like_two_equal_ones() -> None:
    inner = {"team": "web"}
    copied = json.loads('[{"a": {"team": "web"}, "b": {"team": "web"}}]')
    assert digest_of([{"a": inner, "b": inner}]) == digest_of(copied)


@pytest.mark.parametrize("sets", [[{"a": Colour.RED}], [OrderedDict(a=1)]])
def test_values_of_other_classes_get_a_digest_from_their_json(sets: Any) -> None:
    held = encode_answer(sets, known_digest="", max_bytes=LIMIT)
    assert held.digest
    assert encode_answer(sets, known_digest=held.digest, max_bytes=LIMIT).not_modified


@pytest.mark.parametrize("sets", [[{"a": float("nan")}], [{1: "a"}], None, [{}]])
def test_a_digest_makes_no_answer_of_what_is_none(sets: Any) -> None:
    with pytest.raises(BrokenAnswer):
        encode_answer(sets, known_digest=digest_of([{"a": 1}]), max_bytes=LIMIT)


def test_an_answer_that_the_hub_holds_is_not_sent_again() -> None:
    held = encode_answer([{"a": 1}], known_digest="", max_bytes=LIMIT)
    again = encode_answer(Answer(parameters=[{"a": 1}], fresh_for_s=5), known_digest=held.digest, max_bytes=LIMIT)
    assert (again.not_modified, again.parameters_json, again.fresh_for_s) == (True, b"", 5)


def test_a_changed_answer_is_sent_in_full() -> None:
    held = encode_answer([{"a": 1}], known_digest="", max_bytes=LIMIT)
    changed = encode_answer([{"a": 2}], known_digest=held.digest, max_bytes=LIMIT)
    assert (changed.not_modified, json.loads(changed.parameters_json)) == (False, [{"a": 2}])


def test_the_digest_of_the_function_counts() -> None:
    answer = Answer(parameters=[{"a": 1}], digest="v7")
    assert encode_answer(answer, known_digest="", max_bytes=LIMIT).digest == "v7"
    assert encode_answer(answer, known_digest="v7", max_bytes=LIMIT).not_modified


def test_an_answer_over_the_limit_is_refused_with_both_numbers() -> None:
    with pytest.raises(AnswerTooLarge, match="the answer has 114 bytes of JSON, and the hub accepts 100 "):
        encode_answer([{"key": "x" * 102}], known_digest="", max_bytes=100)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(parameters=[], digest="x" * 129), id="a long digest"),
        pytest.param(Answer(parameters=[], digest="\ud800"), id="a digest that is no text"),
        pytest.param(Answer(parameters=[], fresh_for_s=-1), id="fresh for less than nothing"),
        pytest.param(Answer(parameters=[], fresh_for_s=float("nan")), id="fresh for no number"),
        pytest.param(Answer(parameters=[], fresh_for_s=1e20), id="fresh for ever"),
        pytest.param(Answer(parameters=[], notices=("text",)), id="a notice that is none"),  # type: ignore[arg-type]  # the mistake under test
        pytest.param(Answer(parameters=[], notices=(Notice(text="a", severity="info"),)), id="a severity that is none"),  # type: ignore[arg-type]  # as above
        pytest.param(Answer(parameters=[], notices=(Notice(text=1),)), id="a notice without text"),  # type: ignore[arg-type]  # as above
    ],
)
def test_a_remark_that_cannot_travel_is_refused(answer: Answer) -> None:
    with pytest.raises(BrokenAnswer):
        encode_answer(answer, known_digest="", max_bytes=LIMIT)

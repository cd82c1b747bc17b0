"""How a route wants values written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import AnswerRefused, InputRefused
from hub.core.values import ValueRules, check_echo, rewrite

AS_TEXT = ValueRules(numbers="text")
DROP = ValueRules(nulls="drop")
REFUSE = ValueRules(nulls="refuse")

IN_A_LIST = "is a null in a list, which cannot be dropped without moving its neighbours"


def rewritten(one: dict[str, Any], rules: ValueRules, **parameters: Any) -> dict[str, Any]:
    (written,) = rewrite([one], rules, parameters, 'route "r"')
    return written


@pytest.mark.parametrize(
    ("rules", "before", "after"),
    [
        (AS_TEXT, {"a": 1000000, "b": -7, "c": 10**40}, {"a": "1000000", "b": "-7", "c": "1" + "0" * 40}),
        (AS_TEXT, {"a": {"b": [1, {"c": 2}]}}, {"a": {"b": ["1", {"c": "2"}]}}),
        (AS_TEXT, {"a": 1.5, "b": True, "c": False, "d": "1", "e": None},
         {"a": 1.5, "b": True, "c": False, "d": "1", "e": None}),
        (AS_TEXT, {"a": -0.0}, {"a": "-0"}),
        (DROP, {"a": None, "b": {"c": None, "d": 1}}, {"b": {"d": 1}}),
        (DROP, {"a": [{"b": None, "c": 1}]}, {"a": [{"c": 1}]}),
        (REFUSE, {"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}),
    ],
    ids=["integers", "integers inside", "all but integers", "minus zero", "nulls", "nulls in a list's maps",
         "no nulls"],
)  # fmt: skip
def test_values_are_written_by_the_rules(rules: ValueRules, before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = json.dumps(before)
    assert rewritten(before, rules) == after
    assert json.dumps(before) == kept


@pytest.mark.parametrize(
    ("rules", "one", "message"),
    [
        (REFUSE, {"a": {"b": None}}, 'route "r": set 1 of 1, key "a.b" is null'),
        (REFUSE, {"a": [None]}, 'route "r": set 1 of 1, key "a.0" is null'),
        (DROP, {"a": None}, 'route "r": set 1 of 1 has nothing but nulls'),
        (DROP, {"a": [1, None]}, f'route "r": set 1 of 1, key "a.1" {IN_A_LIST}'),
    ],
    ids=["a null", "a null in a list", "nothing but nulls", "a null in a list to be dropped"],
)  # fmt: skip
def test_what_the_rules_do_not_allow_is_refused_with_its_place(
    rules: ValueRules, one: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnswerRefused) as refused:
        rewritten(one, rules)
    assert str(refused.value) == message


def test_inputs_are_copied_into_each_set() -> None:
    rules = ValueRules(echo=("env", "team"))
    assert rewrite([{"a": 1}, {"env": "p"}], rules, {"env": "p", "team": ["x"], "more": 1}, "s") == [
        {"a": 1, "env": "p", "team": ["x"]},
        {"env": "p", "team": ["x"]},
    ]


@pytest.mark.parametrize(("given", "input_"), [("q", "p"), (1, True), (1, 1.0)], ids=repr)
def test_a_set_may_not_contradict_an_input_that_is_copied(given: Any, input_: Any) -> None:
    with pytest.raises(AnswerRefused, match=r'^route "r": set 1 of 1, key "env" differs from the input of that name$'):
        rewritten({"env": given}, ValueRules(echo=("env",)), env=input_)


def test_an_input_that_is_copied_must_be_there() -> None:
    rules = ValueRules(echo=("env",))
    check_echo(rules, {"env": None}, "r")
    with pytest.raises(InputRefused) as refused:
        check_echo(rules, {"other": 1}, "r")
    assert str(refused.value) == 'the input lacks "env", which route "r" copies into each set'


def test_rules_that_change_nothing_say_so() -> None:
    assert ValueRules().change_nothing
    assert not any(rules.change_nothing for rules in (AS_TEXT, DROP, REFUSE, ValueRules(echo=("a",))))


@pytest.mark.parametrize(
    ("rules", "silent"),
    [(ValueRules(), set()), (AS_TEXT, {"large_number"}), (DROP, {"null_value"}), (REFUSE, {"null_value"})],
    ids=["none", "numbers as text", "nulls dropped", "nulls refused"],
)  # fmt: skip
def test_rules_silence_the_notices_that_they_take_care_of(rules: ValueRules, silent: set[str]) -> None:
    kinds = {"large_number", "null_value", "empty_value", "reserved_key"}
    assert {kind for kind in kinds if rules.silences(kind)} == silent


@given(st.dictionaries(st.text(), st.recursive(st.integers() | st.text() | st.floats(allow_nan=False) | st.booleans(),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6),
       min_size=1, max_size=4))  # fmt: skip
def test_as_text_no_integer_is_left_and_no_digit_is_lost(one: dict[str, Any]) -> None:
    assert back(rewritten(one, AS_TEXT)) == back(one)


def back(value: Any) -> Any:
    """A value with all of its integers as text."""
    if type(value) is dict:
        return {key: back(inner) for key, inner in value.items()}
    if type(value) is list:
        return [back(inner) for inner in value]
    return str(value) if type(value) is int else "-0" if repr(value) == "-0.0" else value

"""Whether an answer may be taken for the truth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.guard import GuardPolicy, judge
from hub.core.identity import MAX_IDENTITY_CHARS, identities

NUMBERED = [f"s{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("went", "policy", "too_much"),
    [
        (5, GuardPolicy(), False),
        (6, GuardPolicy(), True),
        (10, GuardPolicy(), True),
        (4, GuardPolicy(max_drop=0.1), False),
        (5, GuardPolicy(max_drop=0.1), True),
        (1, GuardPolicy(max_drop=0.0, min_sets=1), True),
        (0, GuardPolicy(max_drop=0.0, min_sets=0), False),
        (10, GuardPolicy(max_drop=1.0), False),
    ],
    ids=["half", "more than half", "all", "too few to count", "enough to count", "one is too much", "none",
         "everything may go"],
)  # fmt: skip
def test_too_much_is_more_than_the_share_and_at_least_the_number(
    went: int, policy: GuardPolicy, *, too_much: bool
) -> None:
    assert judge(NUMBERED, NUMBERED[went:], policy).too_much is too_much


def test_what_came_makes_up_for_nothing() -> None:
    verdict = judge(NUMBERED, [f"new{number}" for number in range(50)], GuardPolicy())
    assert verdict.too_much
    assert (len(verdict.went), len(verdict.came), verdict.before) == (10, 50, 10)


def test_the_first_answer_is_never_too_little() -> None:
    assert not judge([], [], GuardPolicy(max_drop=0.0, min_sets=0)).too_much
    assert judge([], ["a"], GuardPolicy()).came == ("a",)


def test_order_and_repetition_make_no_difference() -> None:
    verdict = judge(NUMBERED, list(reversed(NUMBERED * 2)), GuardPolicy(max_drop=0.0, min_sets=1))
    assert (verdict.came, verdict.went, verdict.too_much) == ((), (), False)


@pytest.mark.parametrize(
    ("one", "unique_by", "identity"),
    [
        ({"b": 1, "a": [True, None]}, (), '{"a":[true,null],"b":1}'),
        ({"name": "shop", "a": 1}, ("name",), "shop"),
        ({"name": 1, "a": 1}, ("name",), "1"),
        ({"name": "shop", "env": "p", "a": 1}, ("name", "env"), '["shop","p"]'),
    ],
    ids=["all of it", "one key", "one key of a number", "two keys"],
)
def test_a_set_is_itself_by_its_unique_keys_or_by_all_of_it(
    one: dict[str, Any], unique_by: tuple[str, ...], identity: str
) -> None:
    assert identities([one], unique_by) == (identity,)


@given(st.text(max_size=200), st.text(max_size=200))
def test_identities_are_short_and_equal_only_for_equal_values(one: str, other: str) -> None:
    first, second = identities([{"name": one}, {"name": other}], ("name",))
    assert max(len(first), len(second)) <= MAX_IDENTITY_CHARS
    assert (first == second) == (one == other)


def test_long_values_with_an_equal_beginning_differ() -> None:
    first, second = identities([{"name": "x" * 500 + "a"}, {"name": "x" * 500 + "b"}], ("name",))
    assert first != second
    assert first.startswith("xxxx")

"""From the answers of a route's members to the one that leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.answer import CheckedAnswer, Limits, check
from hub.core.combine import Answer, AnswerRules, Combine, Concat, First, Merge, Recipe, combine
from hub.core.errors import AnswerRefused
from hub.core.nesting import MAX_LEVELS
from hub.core.values import ValueRules

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits()
ON_BRANCH = Merge(on=("branch",))
NO_RULES = AnswerRules()

Sets = list[dict[str, Any]]


def member(name: str, sets: Sets) -> tuple[str, CheckedAnswer]:
    return name, check(json.dumps(sets).encode(), subject=f'backend "{name}"', limits=LIMITS)


def combined(how: Combine, *answers: Sets, rules: AnswerRules = NO_RULES, limits: Limits = LIMITS) -> Answer:
    return made(Recipe(route="r", combine=how, rules=rules), *answers, limits=limits)


def made(recipe: Recipe, *answers: Sets, parameters: dict[str, Any] | None = None, limits: Limits = LIMITS) -> Answer:
    members = [member(name, sets) for name, sets in zip("abc", answers, strict=False)]
    return combine(members, recipe, parameters or {}, limits)


def parameters_of(answer: Answer) -> Sets:
    found: Sets = json.loads(answer.body)["output"]["parameters"]
    return found


def result(how: Combine, *answers: Sets) -> Sets:
    answer = combined(how, *answers)
    document = json.loads(answer.body)
    assert list(document) == ["output"]
    assert list(document["output"]) == ["parameters"]
    assert answer.count == len(document["output"]["parameters"])
    found: Sets = document["output"]["parameters"]
    return found


def refusal(how: Combine, *answers: Sets, rules: AnswerRules = NO_RULES, limits: Limits = LIMITS) -> str:
    with pytest.raises(AnswerRefused) as refused:
        combined(how, *answers, rules=rules, limits=limits)
    return str(refused.value)


@pytest.mark.parametrize(
    ("answers", "sets"),
    [
        ([[{"a": 1}]], [{"a": 1}]),
        ([[{"a": 1}], [{"a": 2}, {"a": 3}]], [{"a": 1}, {"a": 2}, {"a": 3}]),
        ([[], [{"a": 1}], []], [{"a": 1}]),
        ([[], []], []),
        ([[]], []),
        ([[{"a": 1}], [{"a": 1}]], [{"a": 1}, {"a": 1}]),
    ],
    ids=["one", "two", "empty ones", "all empty", "one empty", "equal sets stay two"],
)
def test_concat_puts_all_sets_behind_one_another_in_the_members_order(answers: list[Sets], sets: Sets) -> None:
    assert result(Concat(), *answers) == sets


def test_the_body_is_the_whole_document_and_nothing_else() -> None:
    assert combined(Concat(), [{"a": "b"}], [{"c": "d"}]).body == b'{"output":{"parameters":[{"a":"b"},{"c":"d"}]}}'
    assert combined(Concat(), [], []).body == b'{"output":{"parameters":[]}}'


@given(
    st.lists(
        st.lists(st.dictionaries(st.text(), st.text() | st.integers(), min_size=1, max_size=3), max_size=4),
        min_size=1,
        max_size=3,
    )
)
def test_concat_neither_loses_nor_invents_a_set(answers: list[Sets]) -> None:
    assert result(Concat(), *answers) == [one for sets in answers for one in sets]


def test_first_passes_on_what_the_one_member_answered() -> None:
    assert result(First(), [{"a": 1}]) == [{"a": 1}]
    assert result(First(), []) == []


@pytest.mark.parametrize(
    ("answers", "sets"),
    [
        (
            [[{"branch": "x", "a": 1}, {"branch": "y", "a": 2}], [{"branch": "y", "b": 3}]],
            [{"branch": "x", "a": 1}, {"branch": "y", "a": 2, "b": 3}],
        ),
        ([[{"branch": "x"}], [{"branch": "x", "b": 1}], [{"branch": "x", "c": 2}]], [{"branch": "x", "b": 1, "c": 2}]),
        ([[{"branch": "x"}], [{"branch": "z", "b": 1}]], [{"branch": "x"}]),
        ([[{"branch": "x", "a": 1}], [{"branch": "x", "a": 1}]], [{"branch": "x", "a": 1}]),
        (
            [[{"branch": "x", "a": {"p": 1, "q": 2}}], [{"branch": "x", "a": {"q": 2, "p": 1}}]],
            [{"branch": "x", "a": {"p": 1, "q": 2}}],
        ),
        ([[], [{"branch": "x"}]], []),
        ([[{"branch": "x"}], []], [{"branch": "x"}]),
    ],
    ids=[
        "enriched where keys are equal", "three members", "a set that only another member has", "equal values",
        "equal values in another order", "an empty base", "an empty addition",
    ],
)  # fmt: skip
def test_merge_enriches_the_first_members_sets(answers: list[Sets], sets: Sets) -> None:
    assert result(ON_BRANCH, *answers) == sets


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (1, 1.0), (0, False), ("1", 1), (None, ""), ([1], [True]), ({"a": 1}, {"a": 1.0})],
    ids=repr,
)
def test_values_that_differ_in_json_are_a_conflict(one: Any, other: Any) -> None:
    message = refusal(ON_BRANCH, [{"branch": "x", "a": one}], [{"branch": "x", "a": other}])
    assert message == 'backend "b" gives key "a" a value that differs from another member\'s'


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ("1", 1)], ids=repr)
def test_values_that_differ_in_json_are_not_equal_keys(one: Any, other: Any) -> None:
    assert result(ON_BRANCH, [{"branch": one}], [{"branch": other, "b": 2}]) == [{"branch": one}]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            [[{"branch": "x"}, {"branch": "y"}, {"branch": "x"}], []],
            'backend "a": sets 1 and 3 of 3 have equal values under "branch"',
        ),
        ([[{"branch": "x"}], [{"branch": "q"}, {"branch": "q"}]],
         'backend "b": sets 1 and 2 of 2 have equal values under "branch"'),
        ([[{"a": 1}], []], 'backend "a": set 1 of 1 lacks the key "branch"'),
        ([[{"branch": "x"}], [{"branch": "x"}, {"a": 1}]], 'backend "b": set 2 of 2 lacks the key "branch"'),
    ],
    ids=["a duplicate in the base", "a duplicate in an addition", "a base without the key", "an addition without it"],
)  # fmt: skip
def test_merge_refuses_what_it_cannot_match(answers: list[Sets], message: str) -> None:
    assert refusal(ON_BRANCH, *answers) == message


def test_merge_matches_on_all_of_its_keys() -> None:
    how = Merge(on=("branch", "env"))
    base = [{"branch": "x", "env": "p"}, {"branch": "x", "env": "q"}]
    assert result(how, base, [{"branch": "x", "env": "q", "b": 1}]) == [
        {"branch": "x", "env": "p"},
        {"branch": "x", "env": "q", "b": 1},
    ]
    assert refusal(how, [*base, base[0]], []) == (
        'backend "a": sets 1 and 3 of 3 have equal values under "branch", "env"'
    )


def test_what_a_merge_makes_is_checked_again() -> None:
    message = refusal(ON_BRANCH, [{"branch": "x", "a": {"b": 1}}], [{"branch": "x", "a.b": 2}])
    assert message.startswith('route "r": set 1 of 1, key "a.b" is there twice')


def test_every_set_needs_the_required_keys() -> None:
    rules = AnswerRules(required_keys=("branch", "env"))
    combined(Concat(), [{"branch": "x", "env": " "}], rules=rules)
    assert refusal(Concat(), [{"branch": "x", "env": ""}], rules=rules) == (
        'route "r": set 1 of 1 has an empty string under the required key "env"'
    )
    assert refusal(Concat(), [{"branch": "x", "env": None}], rules=rules) == (
        'route "r": set 1 of 1 lacks the required key "env"'
    )
    assert refusal(Concat(), [{"branch": "x", "env": "p"}], [{"branch": "y"}], rules=rules) == (
        'route "r": set 2 of 2 lacks the required key "env"'
    )
    assert refusal(ON_BRANCH, [{"branch": "x"}], [{"branch": "x"}], rules=rules) == (
        'route "r": set 1 of 1 lacks the required key "env"'
    )


def test_no_two_sets_may_be_equal_under_the_unique_keys() -> None:
    rules = AnswerRules(unique_by=("name",))
    combined(Concat(), [{"name": "x"}], [{"name": "y"}], rules=rules)
    assert refusal(Concat(), [{"name": "x"}, {"name": "y"}], [{"name": "x"}], rules=rules) == (
        'route "r": sets 1 and 3 of 3 have equal values under "name"'
    )
    assert refusal(Concat(), [{"a": 1}], rules=rules) == 'route "r": set 1 of 1 lacks the key "name"'
    assert refusal(Concat(), [{"name": None}], rules=rules) == 'route "r": set 1 of 1 lacks the key "name"'


def test_an_empty_answer_breaks_no_rule() -> None:
    assert combined(Concat(), [], rules=AnswerRules(required_keys=("a",), unique_by=("a",))).count == 0


def test_the_limits_hold_for_the_whole_too() -> None:
    few = Limits(max_sets=3)
    assert combined(Concat(), [{"a": 1}], [{"a": 2}, {"a": 3}], limits=few).count == 3
    assert refusal(Concat(), [{"a": 1}] * 2, [{"a": 2}] * 2, limits=few) == (
        'route "r": the combined answer has more than 3 parameter sets'
    )
    assert refusal(Concat(), [{"a": "x" * 50}], [{"a": "y" * 50}], limits=Limits(max_bytes=100)) == (
        'route "r": the combined answer has more than 100 bytes'
    )
    wide = [{"branch": "x" * 50}], [{"branch": "x" * 50, "b": "y" * 50}]
    assert refusal(ON_BRANCH, *wide, limits=Limits(max_bytes=100)) == (
        'route "r": the combined answer has more than 100 bytes'
    )


@pytest.mark.parametrize("how", [Concat(), ON_BRANCH], ids=["concat", "merge"])
def test_values_are_written_as_the_route_wants_them(how: Combine) -> None:
    recipe = Recipe(route="r", combine=how, values=ValueRules(numbers="text", nulls="drop", echo=("env",)))
    answer = made(recipe, [{"branch": "x", "n": 1000000, "z": None}], [], parameters={"env": {"a": 1}, "other": 2})
    assert parameters_of(answer) == [{"branch": "x", "n": "1000000", "env": {"a": "1"}}]
    assert answer.count == 1


def test_what_is_copied_in_may_not_collide() -> None:
    recipe = Recipe(route="r", values=ValueRules(echo=("a.b",)))
    with pytest.raises(AnswerRefused, match="is there twice"):
        made(recipe, [{"a": {"b": 1}}], parameters={"a.b": 2})


def test_an_answer_says_how_many_sets_came_from_whom() -> None:
    assert combined(Concat(), [{"a": 1}], []).members == {"a": 1, "b": 0}
    assert combined(ON_BRANCH, [{"branch": 1}], [{"branch": 1}, {"branch": 2}]).members == {"a": 1}


def test_identities_are_made_only_for_who_wants_them() -> None:
    assert made(Recipe(route="r"), [{"a": 1}]).identities == ()
    assert made(Recipe(route="r", identify=True), [{"b": 2, "a": 1}], [{"c": "x"}]).identities == (
        '{"a":1,"b":2}', '{"c":"x"}',
    )  # fmt: skip
    by_name = Recipe(route="r", identify=True, rules=AnswerRules(unique_by=("name",)))
    assert made(by_name, [{"name": "x", "a": 1}, {"name": 2}]).identities == ("x", "2")


@pytest.mark.parametrize("how", [Concat(), ON_BRANCH], ids=["concat", "merge"])
@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}], ids=["lists", "objects"])
def test_sets_as_deep_as_a_limit_can_be_are_rewritten_and_combined(how: Combine, wrap: Callable[[Any], Any]) -> None:
    value: Any = 1_000_000
    for _ in range(MAX_LEVELS - 1):
        value = wrap(value)
    recipe = Recipe(
        route="r",
        combine=how,
        values=ValueRules(numbers="text", nulls="refuse", echo=("copied",)),
        rules=AnswerRules(unique_by=("v",)),
        identify=True,
    )
    deepest = Limits(max_depth=MAX_LEVELS)
    raw = json.dumps([{"branch": "a", "v": value}]).encode()
    members = [("a", check(raw, subject="a", limits=deepest, identify=True))]
    answer = combine(members, recipe, {"copied": value}, deepest)
    assert answer.body.count(b'"1000000"') == 2
    assert len(answer.identities) == 1

"""Glob patterns, and the index that must find what trying each of them finds."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.patterns import PatternIndex, any_matches, literal_prefix, matcher, may_overlap, without_overlap

NAMES = st.text("ab-.", max_size=6)
PATTERNS = st.one_of(
    st.text("ab-.*?", max_size=6),
    st.builds("{}[{}]{}".format, st.text("ab", max_size=2), st.text("ab", min_size=1, max_size=2), NAMES),
)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("fb-*", "fb-", True),
        ("fb-*", "fb-matrix", True),
        ("fb-*", "a-fb-x", False),
        ("fb-matrix", "fb-matrix", True),
        ("fb-matrix", "fb-matrix-2", False),
        ("fb-?", "fb-1", True),
        ("fb-?", "fb-", False),
        ("fb-[12]", "fb-2", True),
        ("fb-[12]", "fb-3", False),
        ("*-prod", "shop-prod", True),
        ("*-prod", "shop-prod-2", False),
        ("a*c", "abc", True),
        ("FB-*", "fb-1", False),
        ("a.b", "axb", False),
        ("a\nb", "a\nb", True),
        ("a", "a\n", False),
        ("*", "a\nb", True),
        ("a[", "a[", True),
    ],
)
def test_a_pattern_matches_as_a_shell_would(pattern: str, name: str, *, matches: bool) -> None:
    matched = matcher(pattern)
    assert (matched(name), matched(name)) == (matches, matches)


@given(PATTERNS, NAMES)
def test_the_quick_ways_decide_as_the_slow_one(pattern: str, name: str) -> None:
    assert matcher(pattern)(name) == fnmatchcase(name, pattern)


def test_one_of_several_patterns_is_enough() -> None:
    assert any_matches(["x", "fb-*"], "fb-1")
    assert not any_matches(["x", "y"], "fb-1")
    assert not any_matches([], "fb-1")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("fb-*", "fb-"), ("fb", "fb"), ("*", ""), ("f?b", "f"), ("fb[12]*", "fb")],
)
def test_the_literal_prefix_ends_at_the_first_wildcard(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


@given(st.lists(st.lists(PATTERNS, max_size=3), max_size=8), NAMES)
def test_the_index_finds_each_value_once_and_in_the_order_given(entries: list[list[str]], name: str) -> None:
    naive = [order for order, patterns in enumerate(entries) if any(fnmatchcase(name, pattern) for pattern in patterns)]
    assert PatternIndex([(patterns, order) for order, patterns in enumerate(entries)]).matching(name) == naive


def test_a_look_up_does_not_try_patterns_of_other_prefixes() -> None:
    index = PatternIndex([([f"team-{number}-*"], number) for number in range(10_000)])
    assert index.matching("team-4711-shop") == [4711]
    assert index.matching("other") == []


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("*", "fb-*", True),
        ("fb-*", "fb-matrix-*", True),
        ("fb-*", "pr-*", False),
        ("fb-1", "fb-*", True),
        ("fb-1", "fb-2", False),
        ("pr-1", "fb-*", False),
        ("*-prod", "fb-*", True),
        ("*-prod", "*-test", False),
        ("fb-*-prod", "fb-*-test", False),
        ("fb-?", "fb-[12]", True),
        ("*[ab]", "*c", True),
    ],
)
def test_patterns_overlap_unless_no_name_can_match_both(one: str, other: str, *, overlap: bool) -> None:
    assert may_overlap(one, other) is overlap
    assert may_overlap(other, one) is overlap


@given(PATTERNS, PATTERNS, NAMES)
def test_patterns_with_a_common_name_always_overlap(one: str, other: str, name: str) -> None:
    if matcher(one)(name) and matcher(other)(name):
        assert may_overlap(one, other)


@given(st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=4))
def test_what_is_left_over_is_what_overlaps_no_other_pair_by_pair(patterns: list[str], others: list[str]) -> None:
    wanted = tuple(one for one in patterns if not any(may_overlap(one, other) for other in others))
    assert without_overlap(patterns, others) == wanted


@pytest.mark.parametrize(
    ("claim", "grant"),
    [
        ("team-{}-*-x", "grp-{}-*-y"),
        ("*-team-{}-x*", "grp-{}-y"),
        ("*-team-{}-x", "*-grp-{}-y"),
        ("*a*a*a*a*a{}*x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{}"),
        ("team-{}", "*-grp-{}-y*"),
    ],
)
def test_a_thousand_patterns_under_a_thousand_do_not_stop_the_hub(claim: str, grant: str) -> None:
    claims, grants = ([text.format(number) for number in range(1000)] for text in (claim, grant))
    began_s = time.process_time()
    left = without_overlap(claims, grants)
    # Comparing all pairs, with an expression compiled for each, takes more than ten times as long.
    assert time.process_time() - began_s < 1
    assert left == tuple(claims[: len(left)])
    assert left


def test_only_patterns_that_overlap_no_other_are_left_over() -> None:
    assert without_overlap(("fb-*", "x-*", "*", "y"), ("fb-*", "pr-*")) == ("x-*", "y")
    assert without_overlap(("fb-*", "x-*"), ("z", "*")) == ()
    assert without_overlap(("fb-*",), ()) == ("fb-*",)

"""Which backends answer a name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.combine import Concat
from hub.core.errors import NobodyServes, StoreNeeded, UnknownRoute
from hub.core.routes import CLAIMED, Claim, Freshness, Route, RouteTable, Unseen


def route(name: str, *patterns: str, **more: Any) -> Route:
    return Route(name=name, application_sets=patterns, members=more.pop("members", ("images",)), **more)


def claim(backend: str, *patterns: str, granted: tuple[str, ...] = ("*",), lasting: bool = True) -> Claim:
    return Claim(backend=backend, patterns=patterns, granted=granted, lasting=lasting)


ROUTES = [
    route("by-path"),
    route("main-branch", "fb-*", parameters=(("branch", "main*"), ("env", "?"))),
    route("previews", "fb-*", "preview-*"),
    route("late", "fb-x"),
]
TABLE = RouteTable(ROUTES, [claim("images", "fb-*", "old-*"), claim("legacy", "old-*")])


@pytest.mark.parametrize(
    ("path_route", "name", "parameters", "found"),
    [
        ("late", "anything", {}, "late"),
        ("by-path", "fb-1", {}, "by-path"),
        (None, "fb-x", {}, "previews"),
        (None, "preview-1", {"branch": "main"}, "previews"),
        (None, "fb-1", {"branch": "main-2", "env": "p"}, "main-branch"),
        (None, "fb-1", {"branch": "main-2"}, "previews"),
        (None, "fb-1", {"branch": "main", "env": "prod"}, "previews"),
        (None, "fb-1", {"branch": ["main"], "env": "p"}, "previews"),
        (None, "fb-1", {"branch": 1, "env": None}, "previews"),
        (None, "old-1", {}, CLAIMED),
    ],
    ids=[
        "the path names it", "the path names one without patterns", "the first in order", "another of its patterns",
        "its patterns on the input match", "one of them is missing", "one does not match", "a list is no text",
        "nor is a number or null", "a claim, when no route takes it",
    ],
)  # fmt: skip
def test_a_name_goes_to_the_first_that_takes_it(
    path_route: str | None, name: str, parameters: dict[str, Any], found: str
) -> None:
    for _ in range(2):  # The second look-up comes from what the first one found.
        assert TABLE.resolve(path_route, name, parameters).name == found


def test_all_claims_on_a_name_are_members_in_the_order_of_their_names() -> None:
    table = RouteTable([], [claim("zebra", "a*"), claim("ant", "*"), claim("bee", "b*")],
                       claimed=Route(name=CLAIMED, members=(), deadline_s=7.0, wait_for_absent_s=2.0))  # fmt: skip
    found = table.resolve(None, "abc", {})
    assert found.members == ("ant", "zebra")
    assert isinstance(found.combine, Concat)
    assert (found.deadline_s, found.wait_for_absent_s) == (7.0, 2.0)
    assert found.claimed


def test_a_claim_counts_only_inside_what_is_granted() -> None:
    table = RouteTable([], [claim("greedy", "*", granted=("fb-*",)), claim("modest", "shop", granted=("*",))])
    assert table.resolve(None, "fb-1", {}).members == ("greedy",)
    assert table.resolve(None, "shop", {}).members == ("modest",)
    with pytest.raises(NobodyServes):
        table.resolve(None, "other", {})


def test_a_backend_that_is_granted_nothing_serves_nothing_by_claim() -> None:
    with pytest.raises(NobodyServes):
        RouteTable([], [claim("greedy", "*", granted=())]).resolve(None, "fb-1", {})


def test_nobody_serves_says_how_to_find_out() -> None:
    with pytest.raises(NobodyServes) as refused:
        TABLE.resolve(None, "new", {})
    assert str(refused.value) == 'no route and no backend serves "new"; to see why, run: appset-hub explain new'


def test_a_route_in_the_path_that_is_not_configured_is_not_found() -> None:
    with pytest.raises(UnknownRoute):
        TABLE.resolve("nowhere", "fb-1", {})
    with pytest.raises(UnknownRoute):
        TABLE.resolve(CLAIMED, "old-1", {})


def test_claims_meet_only_in_a_store_that_lasts() -> None:
    forgotten = claim("a", "fb-*", lasting=False), claim("c", "c-*", lasting=False)
    table = RouteTable([], [*forgotten, claim("b", "fb-*", "b-*")])
    for _ in range(2):
        with pytest.raises(StoreNeeded, match=r'^backends "a", "b" claim this name together'):
            table.resolve(None, "fb-1", {})
    assert table.resolve(None, "c-1", {}).members == ("c",)
    assert table.resolve(None, "b-1", {}).members == ("b",)


def test_new_claims_change_only_claims() -> None:
    table = RouteTable(ROUTES, [claim("images", "old-*")], claimed=Route(name=CLAIMED, members=(), deadline_s=9.0))
    assert table.resolve(None, "old-1", {}).members == ("images",)
    changed = table.with_claims([claim("legacy", "old-*")], ())
    assert changed.resolve(None, "old-1", {}).members == ("legacy",)
    assert changed.resolve(None, "old-1", {}).deadline_s == 9.0
    assert changed.resolve(None, "fb-1", {}).name == "previews"
    assert changed.routes == table.routes
    assert table.resolve(None, "old-1", {}).members == ("images",)


PATTERNS = st.text("ab*", max_size=4)


@given(st.lists(st.tuples(st.lists(PATTERNS, max_size=2), st.lists(PATTERNS, max_size=2)), max_size=4),
       st.lists(st.lists(PATTERNS, max_size=2), max_size=3), st.text("ab", min_size=1, max_size=3))  # fmt: skip
def test_the_table_decides_as_trying_each_in_turn(
    claims: list[tuple[list[str], list[str]]], routes: list[list[str]], name: str
) -> None:
    table = RouteTable(
        [route(f"r{order}", *patterns) for order, patterns in enumerate(routes)],
        [claim(f"b{order}", *patterns, granted=tuple(granted)) for order, (patterns, granted) in enumerate(claims)],
    )
    expected = naive(claims, routes, name)
    if expected is None:
        with pytest.raises(NobodyServes):
            table.resolve(None, name, {})
    else:
        found = table.resolve(None, name, {})
        assert (found.name if found.name != CLAIMED else found.members) == expected


def naive(claims: list[tuple[list[str], list[str]]], routes: list[list[str]], name: str) -> Any:
    for order, patterns in enumerate(routes):
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return f"r{order}"
    members = tuple(
        f"b{order}"
        for order, both in enumerate(claims)
        if all(any(fnmatchcase(name, pattern) for pattern in patterns) for patterns in both)
    )
    return members or None


def test_more_names_than_are_remembered_are_found_all_the_same() -> None:
    names = [f"fb-{number}" for number in range(10_000)]
    assert {TABLE.resolve(None, name, {}).name for name in names} == {"previews"}
    assert {TABLE.resolve(None, f"old-{name}", {}).name for name in names} == {CLAIMED}


@pytest.mark.parametrize(
    ("path_route", "name", "parameters", "steps", "found"),
    [
        ("late", "x", {}, ['the path names route "late"'], "late"),
        (None, "preview-1", {}, ['route "previews" matches the name'], "previews"),
        (
            None, "fb-1", {"branch": "x"},
            ['route "main-branch" matches the name, but its patterns on the input do not match',
             'route "previews" matches the name'],
            "previews",
        ),
        (None, "old-1", {}, ["no configured route takes it", 'backend "images" claims it',
                             'backend "legacy" claims it'], CLAIMED),
    ],
    ids=["in the path", "a configured route", "one that does not take the input", "claims"],
)  # fmt: skip
def test_explain_says_why(
    path_route: str | None, name: str, parameters: dict[str, Any], steps: list[str], found: str
) -> None:
    decision = TABLE.explain(path_route, name, parameters)
    assert list(decision.steps) == steps
    assert decision.route is not None
    assert decision.route.name == found
    assert decision.route.members == TABLE.resolve(path_route, name, parameters).members


def test_explain_says_who_claims_without_a_grant_and_why_nobody_serves() -> None:
    table = RouteTable([], [claim("greedy", "*", granted=("fb-*",))])
    decision = table.explain(None, "shop", {})
    first, second = decision.steps
    assert first == "no configured route takes it"
    assert second == (
        'backend "greedy" claims it, but its grant excludes the name: '
        'application_sets of this backend in hub.yaml has only "fb-*"'
    )
    assert decision.route is None
    assert decision.refusal == (
        'no route and no backend serves "shop"; backend "greedy" claims it, but its grant in hub.yaml excludes '
        "this name; to see why, run: appset-hub explain shop"
    )
    ungranted = RouteTable([], [claim("greedy", "*", granted=())]).explain(None, "shop", {})
    assert ungranted.steps[-1].endswith("application_sets of this backend in hub.yaml has no pattern")
    assert list(RouteTable([], []).explain(None, "shop", {}).steps) == [
        "no configured route takes it", "no backend claims it",
    ]  # fmt: skip
    assert RouteTable([], []).explain("nowhere", "shop", {}).refusal


@pytest.mark.parametrize(
    ("wanted_s", "fresh_s"), [(None, 5.0), (3.0, 3.0), (0.0, 0.0), (1000.0, 60.0)],
    ids=["the backend does not say", "it says", "it says not at all", "it says too long"],
)  # fmt: skip
def test_how_long_an_answer_is_fresh(wanted_s: float | None, fresh_s: float) -> None:
    assert Freshness(fresh_s=5.0, max_s=60.0).of(wanted_s) == fresh_s


def test_an_answer_is_not_fresh_by_default_for_a_single_moment() -> None:
    assert Freshness().of(None) == 0.0


def test_a_route_of_claims_names_who_has_never_connected_and_may_serve_the_name_too() -> None:
    unseen = [Unseen(backend="owners", granted=("fb-*",)), Unseen(backend="early", granted=("*",))]
    table = RouteTable([route("previews", "fb-x")], [claim("images", "fb-*", "shop")], unseen=unseen)
    assert table.resolve(None, "fb-1", {}).unseen == ("early", "owners")
    assert table.resolve(None, "shop", {}).unseen == ("early",)
    assert table.resolve(None, "fb-x", {}).unseen == (), "a configured route names its members"
    assert table.with_claims([claim("images", "fb-*")], ()).resolve(None, "fb-1", {}).unseen == ()


def test_who_may_claim_a_name_and_has_never_connected_is_explained() -> None:
    table = RouteTable([], [claim("images", "*")], unseen=[Unseen(backend="owners", granted=("fb-*",))])
    assert table.explain(None, "fb-1", {}).steps[-1] == (
        'backend "owners" has never connected to this hub; its grant covers the name, so it may claim it'
    )
    assert "owners" not in " ".join(table.explain(None, "shop", {}).steps)

"""A list in each set whose elements count: where it is, and what the guard sees instead of the set."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core.elements import elements_in, list_path, spread
from hub.core.guard import GuardPolicy
from hub.core.lists import MAX_SHOWN_LISTS, largest, shrunk


@pytest.mark.parametrize(
    ("text", "keys", "key"),
    [
        ("branches", ("branches",), ""),
        ("spec.branches", ("spec", "branches"), ""),
        ("branches[].name", ("branches",), "name"),
        ("spec.branches[].name", ("spec", "branches"), "name"),
    ],
    ids=str,
)
def test_a_path_names_a_list_and_perhaps_a_key_of_its_elements(text: str, keys: tuple[str, ...], key: str) -> None:
    path = list_path(text)
    assert (path.keys, path.key) == (keys, key)
    assert list_path(path.text) == path, "as it is kept with a baseline"


@pytest.mark.parametrize(
    ("path", "one", "seen"),
    [
        ("branches", {"app": "a", "branches": ["x", "y"]}, [{"app": "a", "branches[]": "x"},
                                                            {"app": "a", "branches[]": "y"}]),
        ("branches", {"app": "a", "branches": []}, []),
        ("branches", {"app": "a"}, [{"app": "a", "branches[]": False}]),
        ("branches", {"app": "a", "branches": "x"}, [{"app": "a", "branches": "x", "branches[]": False}]),
        ("b[].name", {"b": [{"name": "x", "sha": 1}, {"sha": 2}, "z"]}, [{"b[].name": "x"}, {"b[].name": {"sha": 2}},
                                                                        {"b[].name": "z"}]),
        ("spec.b", {"spec": {"b": [1], "c": 2}}, [{"spec": {"c": 2}, "spec.b[]": 1}]),
        ("spec.b", {"spec": [1]}, [{"spec": [1], "spec.b[]": False}]),
    ],
    ids=["elements", "no elements", "no list", "a text", "a key of the elements", "deeper", "a list too early"],
)  # fmt: skip
def test_a_set_is_seen_as_one_for_each_element(path: str, one: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    found, counts = spread([one], {"b": 1}, list_path(path))
    assert found == seen
    assert counts == {"b": len(seen)}


def test_the_sets_of_each_member_stay_its_own() -> None:
    sets: list[dict[str, Any]] = [{"n": [1, 2]}, {"n": []}, {"n": [3]}]
    found, counts = spread(sets, {"a": 1, "b": 2}, list_path("n"))
    assert [one["n[]"] for one in found] == [1, 2, 3]
    assert counts == {"a": 2, "b": 1}
    assert elements_in(sets, list_path("n")) == 3


def test_a_list_that_loses_more_than_sets_may_is_shrunk_unless_it_is_counted() -> None:
    policy = GuardPolicy()
    assert shrunk({"b": 12, "c": 12, "d": 4}, {"b": 1, "c": 6}, policy) == {"b": (12, 1)}
    assert shrunk({"b": 12}, {}, policy) == {"b": (12, 0)}
    assert shrunk({"b": 12}, {}, GuardPolicy(count=list_path("b[].name"))) == {}


def test_a_history_keeps_the_largest_lists_only() -> None:
    lists = {f"k{number}": number for number in range(10)} | {"x" * 65: 100}
    assert largest(lists) == {f"k{number}": number for number in range(9, 9 - MAX_SHOWN_LISTS, -1)}

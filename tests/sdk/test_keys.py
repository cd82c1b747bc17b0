"""Which keys identify a set: what a backend declares, and how it travels."""

from __future__ import annotations

from typing import Any

import pytest
from appset_hub import Backend, CannotServe, InvalidSettings, Question, serve
from appset_hub.codec import backend_info


async def nothing(_question: Question) -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("name", 'unique_by: expected a list of keys, got text; did you mean ["name"]?'),
        (1, 'unique_by: expected a list of keys, such as ["name"], got int'),
        (["name", 1], "unique_by[1]: expected a key as text, got int"),
        ([""], "unique_by[0]: expected 1 to 253 printable characters"),
        (["name", "name"], 'unique_by[1]: duplicate key "name"'),
        ([f"k{number}" for number in range(9)], "unique_by: has 9 keys; at most 8 are allowed"),
    ],
    ids=["text", "a number", "a number in it", "empty", "twice", "too many"],
)
def test_keys_that_the_hub_would_refuse_are_refused_before_anything_starts(keys: Any, problem: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        Backend(function=nothing, name="images", unique_by=keys)
    assert problem in str(refused.value)


def test_serve_takes_them_and_names_what_is_wrong() -> None:
    with pytest.raises(CannotServe, match=r'unique_by\[1\]: duplicate key "name"'):
        serve(nothing, name="images", unique_by=["name", "name"])


def test_the_hub_is_told_the_keys() -> None:
    info = backend_info(Backend(function=nothing, name="images", unique_by=["name", "env"]), "one")
    assert list(info.unique_by) == ["name", "env"]

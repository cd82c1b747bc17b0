"""The names of a set's values once it is flattened are those that Argo CD's own library makes.

The recording is compared with that library itself in tests/argocd/flattened_test.go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.answer import Limits, check
from hub.core.errors import AnswerRefused
from hub.core.flattened import leaves, named, twice

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = json.loads((Path(__file__).parent.parent / "trust/data/flattened.json").read_bytes())


def recorded(*, lost: bool) -> Iterator[dict[str, Any]]:
    return (one for one in RECORDED if one["lost"] is lost)


def is_refused(one: dict[str, Any]) -> bool:
    try:
        check(json.dumps([one]).encode(), subject='backend "b"', limits=Limits())
    except AnswerRefused as refused:
        assert "is there twice once nested keys are joined with dots" in str(refused)  # noqa: PT017 - of some sets only.
        return True
    return False


def test_the_recording_has_sets_of_both_kinds() -> None:
    assert len(list(recorded(lost=True))) > 20
    assert len(list(recorded(lost=False))) > 300


def test_each_set_has_the_names_that_argo_cd_makes() -> None:
    for one in RECORDED:
        assert sorted({named(path) for path, _ in leaves(one["set"])}, key=str.encode) == one["names"]


def test_a_set_is_refused_if_argo_cd_would_lose_one_of_its_values() -> None:
    assert [one["set"] for one in recorded(lost=True) if not is_refused(one["set"])] == []


def test_no_other_set_is_refused() -> None:
    assert [one["set"] for one in recorded(lost=False) if is_refused(one["set"])] == []


@pytest.mark.parametrize(
    ("one", "name"),
    [
        ({"": {"a": "1"}, ".a": "2"}, ".a"),
        ({"": {"": "1"}, ".": "2"}, "."),
        ({"a": {"": "1"}, "a.": "2"}, "a."),
        ({"": ["1"], ".0": "2"}, ".0"),
    ],
)
def test_below_an_empty_key_there_is_a_dot(one: dict[str, Any], name: str) -> None:
    assert twice(one) == name


def test_an_empty_key_and_what_is_below_one_do_not_meet() -> None:
    assert twice({"": {"a": "1"}, "a": "2"}) is None


def test_a_message_names_an_empty_key() -> None:
    answer = check(b'[{"": null}]', subject='backend "b"', limits=Limits())
    assert answer.notices[0].text.startswith('set 1 of 1, key ""')

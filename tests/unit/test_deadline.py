"""When a request has to be over."""

from __future__ import annotations

import pytest

from hub.core.deadline import Deadline


@pytest.mark.parametrize(
    ("at_s", "now_s", "left_s"),
    [(10.0, 4.0, 6.0), (10.0, 10.0, 0.0), (10.0, 11.0, 0.0)],
    ids=["before", "at the moment", "after: never below zero"],
)
def test_what_is_left_counts_down_to_zero(at_s: float, now_s: float, left_s: float) -> None:
    assert Deadline(at_s).left_s(now_s) == left_s


def test_a_limit_shortens_a_deadline_but_never_lengthens_it() -> None:
    assert Deadline(10.0).within(4.0, 3.0) == Deadline(7.0)
    assert Deadline(10.0).within(4.0, 60.0) == Deadline(10.0)


def test_the_first_of_several_steps_gets_an_equal_share_of_what_is_left() -> None:
    assert Deadline(10.0).share(4.0, 3) == Deadline(6.0)
    assert Deadline(10.0).share(4.0, 1) == Deadline(10.0)
    assert Deadline(10.0).share(12.0, 2) == Deadline(12.0)

"""How much is gone by now, over several answers: the arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.guard import GuardPolicy, TotalPolicy, allowed, is_over
from hub.core.losses import (
    OLD_S,
    Excess,
    PastLoss,
    Span,
    bounded,
    duration_text,
    fingerprint,
    lost_spans,
    returned,
    there_at,
    total_excess,
    window_excess,
)

HALF = GuardPolicy(max_drop=0.5)


def loss(at_s: float, *names: str, before: int = 0, added_s: float = OLD_S, **more: Any) -> PastLoss:
    lost = dict.fromkeys(map(fingerprint, names), added_s)
    return PastLoss(at_s=at_s, before=before, before_all=before, lost=lost, keep_s=3600.0, **more)


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"s{number}" for number in range(start, start + count)]


@pytest.mark.parametrize(
    ("before", "may_go"),
    [(10, 5), (19, 9), (20, 5), (100, 25), (199, 49), (200, 20), (1000, 100), (20_000, 2000)],
    ids=str,
)
def test_the_more_sets_the_smaller_the_share_that_may_go(before: int, may_go: int) -> None:
    share = allowed(GuardPolicy(), before)
    assert not is_over(may_go, before, share, 5)
    assert is_over(may_go + 1, before, share, 5)


@pytest.mark.parametrize("before", [5, 100, 1000])
def test_one_number_is_for_any_number_of_sets(before: int) -> None:
    assert allowed(GuardPolicy(max_drop=0.4), before) == 0.4


@given(st.integers(0, 1000), st.integers(1, 20_000))
def test_exactly_the_share_is_never_over_it(tenths_of_a_percent: int, before: int) -> None:
    if tenths_of_a_percent * before % 1000 == 0:
        assert not is_over(tenths_of_a_percent * before // 1000, before, tenths_of_a_percent / 1000, 0)


def test_sets_are_counted_at_each_moment_at_which_they_were_there() -> None:
    spans = [Span(added_s=OLD_S, count=3), Span(added_s=20.0, count=2), Span(added_s=OLD_S, count=1, lost_s=30.0)]
    assert there_at(spans, [10.0, 20.0, 25.0, 30.0, 40.0]) == [4, 4, 6, 6, 5]


def in_window(
    there: int, *losses: PastLoss, now_s: float, going: int = 0, policy: GuardPolicy = HALF, started_s: float = 0.0
) -> Excess | None:
    gone = [*lost_spans(losses), Span(added_s=OLD_S, count=going, lost_s=now_s)]
    return window_excess(
        [Span(added_s=OLD_S, count=there)], gone, losses, now_s=now_s, policy=policy, started_s=started_s, losing=going
    )


def test_losses_are_measured_against_the_start_of_the_window() -> None:
    first = loss(100.0, *numbered(50), before=100)
    assert in_window(25, first, now_s=200.0, going=25) == Excess(
        limit="window", gone=75, before=100, share=0.5, window_s=3600.0, losing=25
    )
    assert in_window(50, first, now_s=200.0, going=0) is None, "exactly half"


def test_what_was_lost_before_the_window_is_gone_for_good() -> None:
    first = loss(100.0, *numbered(50), before=100)
    assert in_window(25, first, now_s=100.0 + 3601.0, going=25) is None
    assert in_window(25, first, now_s=100.0 + 3600.0, going=25) is not None


def test_sets_that_came_and_went_within_the_window_are_no_losses() -> None:
    # Thirty stay; ten previews are added and removed, three at a time.
    losses = [loss(5000.0 + n, *numbered(3, 100 + 3 * n), added_s=4999.0 + n, before=33) for n in range(10)]
    assert in_window(30, *losses, now_s=5100.0, going=1, policy=GuardPolicy()) is None


def test_what_was_added_within_the_window_is_missed_from_the_moment_at_which_it_was_there() -> None:
    # Ten at the start, a hundred a moment later, and then they go, a quarter at a time.
    losses = [
        loss(5010.0, *numbered(25, 100), added_s=5000.0, before=110),
        loss(5020.0, *numbered(25, 200), added_s=5000.0, before=85),
    ]
    there = [Span(added_s=OLD_S, count=10), Span(added_s=5000.0, count=25)]
    going = Span(added_s=5000.0, count=25, lost_s=5030.0)
    found = window_excess(
        there, [*lost_spans(losses), going], losses, now_s=5030.0, policy=HALF, started_s=0.0, losing=25
    )
    assert found == Excess(limit="window", gone=75, before=110, share=0.5, window_s=3600.0, losing=25)


def test_until_all_questions_were_asked_after_a_restart_the_counts_of_before_are_used() -> None:
    earlier = loss(100.0, *numbered(9), before=40)
    assert in_window(0, earlier, now_s=200.0, going=1, started_s=150.0) is None
    assert in_window(0, earlier, now_s=200.0, going=1, started_s=50.0) is not None


@pytest.mark.parametrize(
    ("gone", "before", "losers", "over"),
    [(101, 500, 2, True), (100, 500, 2, False), (101, 500, 1, False), (49, 50, 9, False), (50, 249, 9, True)],
    ids=["more than the share", "the share", "one ApplicationSet alone", "too few", "enough"],
)
def test_all_application_sets_together_have_a_limit(gone: int, before: int, losers: int, *, over: bool) -> None:
    assert (total_excess(gone, before, losers=losers, losing=1, policy=TotalPolicy()) is not None) is over


def test_sets_that_are_back_are_not_missing() -> None:
    losses = (loss(1.0, "a", "b"), loss(2.0, "c"), loss(3.0, "d", unnamed=2))
    left = returned(losses, map(fingerprint, ["b", "c", "d", "x"]))
    assert left == (loss(1.0, "a"), loss(3.0, unnamed=2))
    assert returned(losses, []) == losses


def test_beyond_a_bound_the_oldest_losses_are_only_counted() -> None:
    losses = (loss(1.0, "a", "b"), loss(2.0, "c"), loss(3.0, "d"))
    kept = bounded(losses, 2)
    assert kept == (loss(1.0, unnamed=2), *losses[1:])
    assert sum(one.count for one in kept) == 4
    assert kept[0].counted(OLD_S + 1) == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(3600, "1h"), (5400, "90m"), (90, "90s"), (86400, "1d"), (0.5, "500ms"), (0, "0ms")], ids=str
)
def test_a_duration_reads_as_in_the_configuration(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("excess", "text"),
    [
        (Excess(limit="max_drop", gone=6, before=10, share=0.5),
         "6 of 10 parameter sets are missing from the answer, more than guard.max_drop (50%)"),
        (Excess(limit="max_change", gone=8, before=8, share=0.125),
         "8 of 8 parameter sets have changed, more than guard.max_change (12.5%)"),
        (Excess(limit="window", gone=75, before=100, share=0.25, window_s=3600.0),
         ("with this answer, 75 of 100 parameter sets of the ApplicationSet are lost within guard.window (1h), more "
          "than guard.max_drop (25%)")),
        (Excess(limit="total", gone=102, before=500, share=0.2, window_s=3600.0),
         ("with this answer, 102 of 500 parameter sets of all ApplicationSets are lost within guard.window (1h), more "
          "than guard.total (20%)")),
    ],
    ids=["max_drop", "max_change", "window", "total"],
)  # fmt: skip
def test_a_limit_says_what_was_lost_and_which_setting_it_is(excess: Excess, text: str) -> None:
    assert str(excess) == text

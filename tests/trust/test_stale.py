"""The last good answer stands in for an error only where a route allows it, and never for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.stub import fails, named, says
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from tests.trust.bench import Bench

STALE = {"stale_if_error": {"max_age": "1h"}}
TEN = named(*range(10))
ERROR = fails(13)


def route(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "r", "application_sets": ["r-*"], "backends": ["b"], **STALE, **more}]


@pytest.mark.parametrize(
    "failure",
    [
        *(pytest.param(fails(code), id=f"code {code}") for code in (0, 1, 2, 4, 5, 7, 13, 14, 16)),
        pytest.param(says(b""), id="nothing"),
        pytest.param(says(b"[{}]"), id="an empty set"),
        pytest.param(says(b"", not_modified=True), id="not modified, but new"),
        pytest.param(named(*range(4)), id="held"),
    ],
)
async def test_it_stands_in_for_a_failure_and_says_so(bench: Bench, failure: Any) -> None:
    await bench.open(route=STALE)
    good = await bench.ask(TEN)
    assert not good.stale
    assert "age" not in good.headers
    bench.clock.now_s += 90
    reply = await bench.ask(failure)
    assert (reply.status, reply.body, reply.headers["age"]) == (200, good.body, "90")
    assert reply.stale
    assert reply.verdict.sets == good.verdict.sets


async def test_without_the_setting_an_error_is_an_error(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    assert (await bench.ask(ERROR)).status == 502


async def test_it_stands_in_for_an_absent_backend_after_a_restart_too(bench: Bench) -> None:
    site = await bench.open(route=STALE)
    good = await bench.ask(TEN)
    await bench.backend.stop()
    assert (await bench.ask()).stale
    await site.restart()
    reply = await bench.ask()
    assert (reply.stale, reply.body) == (True, good.body)


async def test_it_does_not_stand_in_for_the_callers_own_fault(bench: Bench) -> None:
    site = await bench.open(route=STALE)
    await bench.ask(TEN)
    assert (await bench.ask(fails(3))).status == 400
    async with site.caller("wrong") as stranger:
        assert (await stranger.ask("r-one", {})).status == 403


async def test_it_is_never_older_than_allowed(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN)
    bench.clock.now_s += 3600
    assert (await bench.ask(ERROR)).stale
    bench.clock.now_s += 1
    assert (await bench.ask(ERROR)).status == 502


async def test_standing_in_does_not_make_it_younger(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN)
    for _ in range(5):
        bench.clock.now_s += 12 * 60
        assert (await bench.ask(ERROR)).stale
    bench.clock.now_s += 1
    assert (await bench.ask(ERROR)).status == 502


async def test_its_age_counts_from_when_it_was_given_last(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN)
    bench.clock.now_s += 3000
    assert not (await bench.ask(TEN)).stale
    bench.clock.now_s += 3000
    assert (await bench.ask(ERROR)).headers["age"] == "3000"


async def test_a_clock_that_went_back_makes_none_young(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN)
    bench.clock.now_s -= 10
    assert (await bench.ask(ERROR)).status == 502


async def test_it_is_never_older_than_one_that_was_given(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN)
    newer = await bench.ask(named(*range(12)))
    assert (await bench.ask(ERROR)).body == newer.body
    await bench.restart()
    assert (await bench.ask(ERROR)).body == newer.body


async def test_a_held_answer_never_becomes_the_last_good_one(bench: Bench) -> None:
    await bench.open(route=STALE)
    good = await bench.ask(TEN)
    assert (await bench.ask(named(*range(4)))).body == good.body
    assert (await bench.ask(ERROR)).body == good.body


@pytest.mark.parametrize(
    "change",
    [
        {"required_keys": ["name"]},
        {"numbers": "text"},
        {"backends": ["b", "c"]},
        {"guard": {"mode": "off"}},
        {"echo": ["team"]},
        {"unique_by": ["name"]},
    ],
    ids=", ".join,
)
@pytest.mark.parametrize("restarted", [False, True], ids=["reloaded", "restarted"])
async def test_it_never_outlives_a_change_of_its_route(
    bench: Bench, change: dict[str, Any], *, restarted: bool
) -> None:
    site = await bench.open(route=STALE, backends={"b": {}, "c": {}})
    await bench.ask(TEN, team="red")
    site.reconfigure(routes=route(**change))
    if restarted:
        await bench.restart()
    assert (await bench.ask(ERROR, team="red")).status >= 500


async def test_a_change_and_back_again_is_no_change(bench: Bench) -> None:
    site = await bench.open(route=STALE)
    await bench.ask(TEN)
    site.reconfigure(routes=route(numbers="text"))
    site.reconfigure(routes=route())
    assert (await bench.ask(ERROR)).stale


async def test_each_question_has_its_own(bench: Bench) -> None:
    await bench.open(route=STALE)
    await bench.ask(TEN, team="red")
    assert (await bench.ask(ERROR, team="blue")).status == 502
    assert (await bench.ask(ERROR, name="r-two", team="red")).status == 502
    assert (await bench.ask(ERROR, team="red")).stale


async def test_an_old_answer_is_not_cached(bench: Bench) -> None:
    await bench.open(route={**STALE, "cache": {"fresh": "50ms", "max": "50ms"}})
    await bench.ask(TEN)
    bench.says = ERROR
    while not (await bench.ask()).stale:
        pass  # Until it is fresh no longer.
    before = len(bench.backend.asked)
    assert (await bench.ask()).stale
    assert len(bench.backend.asked) == before + 1


async def test_metrics_count_it(bench: Bench) -> None:
    site = await bench.open(route=STALE)
    await bench.ask(TEN)
    await bench.ask(ERROR)
    async with Caller(site.hub.admin_port, "none") as caller:
        reply = await caller.send(caller.request("GET", "/metrics", b""))
    assert b'appset_hub_stale_answers_total{reason="backend_failed",route="r"} 1.0' in reply.body

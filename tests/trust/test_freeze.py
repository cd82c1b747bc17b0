"""While a route is frozen, Argo CD sees what it saw before, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.stub import named, sets

if TYPE_CHECKING:
    from tests.trust.bench import Bench

TEN = named(*range(10))
UNIQUE = {"unique_by": ["name"]}
OFF = {"guard": {"mode": "off"}}


def tagged(tag: str) -> Any:
    return sets({"name": "a", "tag": tag}, {"name": "b", "tag": tag})


async def freeze(bench: Bench, **more: str) -> None:
    status, _ = await bench.site.admin("POST", "/api/freeze", {"by": "ann", "reason": "an incident", **more})
    assert status == 200


@pytest.mark.parametrize("route", [{}, UNIQUE, OFF], ids=["whole sets", "by name", "no guard"])
@pytest.mark.parametrize(
    "changed",
    [tagged("2"), named("a"), named("a", "b", "c"), sets()],
    ids=["values", "less", "more", "none"],
)
async def test_nothing_changes_while_it_is_frozen(bench: Bench, route: dict[str, Any], changed: Any) -> None:
    site = await bench.open(route=route)
    before = await bench.ask(tagged("1"))
    await freeze(bench)
    assert (await bench.ask()).body == before.body
    for _ in range(2):
        refused = await bench.ask(changed)
        assert (refused.status, refused.verdict.is_error) == (503, True)
        assert "Reason: an incident" in refused.message
    assert (await bench.ask(tagged("1"))).body == before.body
    await site.admin("POST", "/api/unfreeze", {"by": "ann"})
    assert (await bench.ask(changed)).status == 200


@pytest.mark.parametrize("route", [{}, UNIQUE], ids=["whole sets", "by name"])
async def test_after_a_restart_a_frozen_route_gives_what_it_gave_and_nothing_else(
    bench: Bench, route: dict[str, Any]
) -> None:
    await bench.open(route=route)
    await bench.ask(tagged("1"))
    await bench.ask(tagged("2"))
    await freeze(bench, route="r")
    await bench.restart()
    assert (await bench.ask(tagged("1"))).status == 503, "a value that was there before is a change too"
    assert (await bench.ask(tagged("2"))).status == 200
    assert (await bench.ask(tagged("2"), name="r-new")).status == 503


async def test_without_a_guard_nothing_is_known_after_a_restart(bench: Bench) -> None:
    await bench.open(route=OFF)
    await bench.ask(TEN)
    await freeze(bench)
    await bench.restart()
    assert "no accepted answer to compare" in (await bench.ask()).message


async def test_an_old_answer_does_not_stand_in_for_a_refused_change(bench: Bench) -> None:
    await bench.open(route={"stale_if_error": {"max_age": "1h"}})
    await bench.ask(tagged("1"))
    await freeze(bench)
    assert (await bench.ask(tagged("2"))).status == 503

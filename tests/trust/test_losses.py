"""Losses add up: over the answers to a question, over the questions of an ApplicationSet, and over all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.stub import Answer, Request, Stub, named, sets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.trust.bench import Bench

HALF = {"guard": {"max_drop": "50%"}}
ROWS = 40


async def fall(bench: Bench, *counts: int, every_s: float = 180.0) -> list[int]:
    """The status of each answer of so many sets."""
    found = []
    for count in counts:
        found.append((await bench.ask(named(*range(count)))).status)
        bench.clock.pass_(every_s)
    return found


@pytest.mark.parametrize(
    ("route", "statuses"),
    [(HALF, [200, 200, 409, 409, 409, 409]), ({}, [200, 409, 409, 409, 409, 409])],
    ids=["flat", "by size"],
)
async def test_a_loss_in_small_steps_is_a_large_loss(bench: Bench, route: Any, statuses: list[int]) -> None:
    await bench.open(route=route)
    assert await fall(bench, 100, 50, 25, 13, 7, 4) == statuses


async def test_the_message_names_the_limit_and_what_it_counted(bench: Bench) -> None:
    site = await bench.open(route=HALF)
    await fall(bench, 100, 50)
    reply = await bench.ask(named(*range(25)))
    assert reply.message == (
        'route "r": with this answer, 75 of 100 parameter sets of the ApplicationSet are lost within guard.window '
        "(1h), more than guard.max_drop (50%); nothing was changed. If this is intended, run: "
        f"appset-hub accept {reply.held_id}"
    )
    (held,) = (await site.admin("GET", "/api/held"))[1]
    assert (held["limit"], held["went"], held["before"]) == ("window", 25, 50)


async def test_steps_that_are_further_apart_than_the_window_do_not_add_up(bench: Bench) -> None:
    await bench.open(route=HALF)
    assert await fall(bench, 100, 50, 25, 13, every_s=3601.0) == [200, 200, 200, 200]


async def test_the_window_is_a_setting_and_none_judges_each_answer_alone(bench: Bench) -> None:
    await bench.open(route={"guard": {"max_drop": "50%", "window": "0s"}})
    assert await fall(bench, 100, 50, 25, 13) == [200, 200, 200, 200]


async def test_sets_that_came_back_are_not_lost(bench: Bench) -> None:
    await bench.open(route=HALF)
    assert await fall(bench, 100, 50, 100, 50, 100, 60) == [200] * 6
    assert await fall(bench, 49) == [409]


async def test_previews_that_come_and_go_are_no_losses(bench: Bench) -> None:
    await bench.open(route={"unique_by": ["name"]})
    await bench.ask(named(*range(30)))
    bench.clock.pass_(4000)
    for preview in range(0, 60, 3):
        more = [f"preview-{number}" for number in range(preview, preview + 3)]
        assert (await bench.ask(named(*range(30), *more))).status == 200
        bench.clock.pass_(60)


async def test_a_restart_forgets_no_loss(bench: Bench) -> None:
    await bench.open(route=HALF)
    await fall(bench, 100, 50)
    await bench.restart()
    assert await fall(bench, 25) == [409]


async def test_a_jump_of_the_time_of_day_forgets_no_loss(bench: Bench) -> None:
    await bench.open(route=HALF)
    await fall(bench, 100, 50)
    bench.clock.now_s += 86_400
    assert await fall(bench, 25) == [409]
    bench.clock.now_s -= 7 * 86_400
    await bench.restart()
    assert await fall(bench, 25) == [409]


async def test_what_was_held_stays_held_when_the_losses_before_it_leave_the_window(bench: Bench) -> None:
    await bench.open(route=HALF)
    await fall(bench, 100, 50)
    first = await bench.ask(named(*range(25)))
    for _ in range(3):
        bench.clock.pass_(3601.0)
        assert (await bench.ask(named(*range(25)))).body == first.body
    assert (await bench.ask(named(*range(24)))).status == 409, "one less is no better"
    assert (await bench.ask(named(*range(50)))).status == 200


@pytest.mark.parametrize("how", ["accept", "release"])
async def test_what_was_accepted_counts_no_longer(bench: Bench, how: str) -> None:
    site = await bench.open(route={"guard": {"max_drop": "50%", "release": {"after": "30m"}}})
    await fall(bench, 100, 50)
    held_id = (await bench.ask(named(*range(25)))).held_id
    if how == "accept":
        assert await site.decide("accept", held_id) == 200
    else:
        bench.clock.pass_(1800)
    assert await fall(bench, 25, 13) == [200, 200]
    await bench.restart()
    assert await fall(bench, 12, 11) == [409, 409], "14 of 25"


async def test_an_accepted_loss_of_one_answer_does_not_count_with_the_next(bench: Bench) -> None:
    site = await bench.open(route=HALF)
    await fall(bench, 100)
    held_id = (await bench.ask(named(*range(40)))).held_id
    assert await site.decide("accept", held_id) == 200
    assert await fall(bench, 40, 20) == [200, 200]
    assert await fall(bench, 19) == [409]


async def test_observe_reports_what_adds_up_and_goes_on_from_there(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"max_drop": "50%", "mode": "observe"}})
    assert await fall(bench, 100, 50, 25) == [200, 200, 200]
    (history,) = (await site.admin("GET", "/api/history?name=r-one"))[1]
    assert [change["how"] for change in history["changes"]] == ["checked", "checked", "observed"]


class Matrix:
    """A backend that answers one set for each row, until it says that there is nothing."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.empty = False

    async def attach(self) -> Matrix:
        """Take the place of the bench's own backend."""
        await self._bench.backend.stop()
        self._bench.backend = await self._bench.attach(Stub("b", self.behave))
        return self

    def behave(self, request: Request) -> Answer:
        row = json.loads(request.input_parameters_json)["row"]
        return named() if self.empty else named(f"app-{row}")

    async def reconcile(self, rows: Iterator[int] | range = range(ROWS)) -> list[int]:
        """What Argo CD does: all rows in turn, until one is refused; the statuses."""
        statuses = []
        for row in rows:
            statuses.append((await self._bench.ask(row=row)).status)
            if statuses[-1] != 200:
                break
        return statuses


@pytest.mark.parametrize(("route", "lost"), [(HALF, 20), ({}, 10)], ids=["flat", "by size"])
async def test_a_matrix_whose_rows_all_become_empty_is_held(bench: Bench, route: Any, lost: int) -> None:
    await bench.open(route=route)
    matrix = await Matrix(bench).attach()
    assert await matrix.reconcile() == [200] * ROWS
    matrix.empty = True
    assert await matrix.reconcile() == [*[200] * lost, 409], "and so the reconcile fails, and nothing is deleted"
    await bench.restart()
    assert (await matrix.reconcile())[-1] == 409


async def test_a_restart_between_the_rows_of_a_matrix_forgets_nothing(bench: Bench) -> None:
    await bench.open(route=HALF)
    matrix = await Matrix(bench).attach()
    await matrix.reconcile()
    matrix.empty = True
    assert await matrix.reconcile(range(15)) == [200] * 15
    await bench.restart()
    assert await matrix.reconcile() == [*[200] * 20, 409]


async def test_rows_of_another_application_set_count_for_themselves(bench: Bench) -> None:
    await bench.open(route=HALF)
    matrix = await Matrix(bench).attach()
    await matrix.reconcile()
    for name in ("r-two", "r-three"):
        assert (await bench.ask(name=name, row=1)).status == 200
    matrix.empty = True
    assert await matrix.reconcile(range(20)) == [200] * 20
    for name in ("r-two", "r-three"):
        assert (await bench.ask(name=name, row=1)).status == 200
    assert await matrix.reconcile(range(20, 21)) == [409]


FIFTY = [f"r-{number}" for number in range(50)]
NAMES = range(10)


async def lose_three_each(bench: Bench, names: list[str]) -> list[int]:
    return [(await bench.ask(named(*NAMES[3:]), name=name)).status for name in names]


async def test_a_source_that_takes_a_little_from_every_application_set_is_held(bench: Bench) -> None:
    site = await bench.open(route=HALF)
    for name in FIFTY:
        assert (await bench.ask(named(*NAMES), name=name)).status == 200
    assert await lose_three_each(bench, FIFTY) == [*[200] * 33, *[409] * 17]
    held = next(one for one in (await site.admin("GET", "/api/held"))[1] if "r-33" in one["subject"].values())
    assert (held["limit"], held["went"], held["before"]) == ("total", 3, 10)
    assert "102 of 500 parameter sets of all ApplicationSets are lost within guard.window (1h)" in held["why"]
    await bench.restart()
    assert await lose_three_each(bench, FIFTY[33:]) == [409] * 17
    assert await site.decide("accept", held["id"]) == 200
    assert await lose_three_each(bench, FIFTY[33:]) == [200, *[409] * 16], "those that are held wait for a decision"
    assert (await bench.ask(named(*NAMES[4:]), name="r-0")).status == 200, "what was accepted counts no longer"


async def test_the_limit_of_all_is_a_setting(bench: Bench) -> None:
    await bench.open(route=HALF, guard={"total": {"max_drop": "100%"}})
    for name in FIFTY:
        await bench.ask(named(*NAMES), name=name)
    assert await lose_three_each(bench, FIFTY) == [200] * 50


async def test_one_application_set_alone_is_no_matter_of_all(bench: Bench) -> None:
    await bench.open(route={"guard": {"max_drop": "60%"}})
    await bench.ask(named(*range(200)))
    await bench.ask(named(1, 2), name="r-other")
    assert (await bench.ask(named(*range(100)))).status == 200
    assert (await bench.ask(named(1), name="r-other")).status == 409
    assert (await bench.ask(named(1, 2), name="r-other")).status == 200


@pytest.mark.parametrize(
    ("before", "left", "held"),
    [(10, 4, True), (10, 5, False), (100, 75, False), (100, 74, True), (1000, 501, True), (1000, 900, False)],
    ids=str,
)
async def test_the_more_there_is_the_less_may_go(bench: Bench, before: int, left: int, *, held: bool) -> None:
    await bench.open()
    assert await fall(bench, before, left) == [200, 409 if held else 200]


async def test_others_in_place_of_all_are_held(bench: Bench) -> None:
    await bench.open(route={"unique_by": ["name"]})
    await bench.ask(named(*range(10)))
    assert "10 of 10 parameter sets are missing" in (await bench.ask(named(*range(100, 110)))).message


async def test_time_of_day_that_jumps_releases_nothing(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(named(*range(10)))
    await bench.ask(named(*range(4)))
    bench.clock.now_s += 86_400
    assert (await bench.ask(named(*range(4)))).status == 409
    await bench.restart()
    bench.clock.now_s += 86_400
    assert (await bench.ask(named(*range(4)))).status == 409
    bench.clock.now_s -= 30 * 86_400
    bench.clock.pass_(1799)
    assert (await bench.ask(named(*range(4)))).status == 409
    bench.clock.pass_(1)
    assert (await bench.ask(named(*range(4)))).status == 200


async def test_only_time_in_which_a_hub_ran_releases(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(named(*range(10)))
    await bench.ask(named(*range(4)))
    bench.clock.pass_(1000)
    await bench.site.stop()
    bench.clock.pass_(86_400)
    await bench.site.start()
    await bench.backend.attached.wait()
    assert (await bench.ask(named(*range(4)))).status == 409
    bench.clock.pass_(800)
    assert (await bench.ask(named(*range(4)))).status == 200


def branches(*names: object, **more: Any) -> Answer:
    return sets({"branches": [{"branch": str(name)} for name in names], **more})


COUNTED = {"guard": {"count": "branches"}}


@pytest.mark.parametrize(
    "route", [COUNTED, {"guard": {"count": "branches[].branch"}}, {**COUNTED, "unique_by": ["app"]}],
    ids=["whole elements", "a key of them", "with unique_by"],
)  # fmt: skip
async def test_a_counted_list_that_becomes_empty_is_held(bench: Bench, route: Any) -> None:
    site = await bench.open(route=route)
    assert (await bench.ask(branches(*range(40), app="a"))).status == 200
    reply = await bench.ask(branches(app="a"))
    assert "40 of 40 parameter sets are missing" in reply.message
    await bench.restart()
    assert (await bench.ask(branches(app="a"))).body == reply.body
    assert (await bench.ask(branches(*range(40), app="a"))).status == 200
    assert (await bench.ask(branches(*range(29), app="a"))).status == 409
    held_id = (await bench.ask(branches(*range(29), app="a"))).held_id
    assert await site.decide("accept", held_id) == 200
    assert (await bench.ask(branches(*range(29), app="a"))).status == 200


async def test_a_counted_list_that_grows_or_changes_order_passes(bench: Bench) -> None:
    await bench.open(route=COUNTED)
    for names in ([*range(10)], [*range(20)], [*reversed(range(20))], [*range(16)]):
        assert (await bench.ask(branches(*names))).status == 200


async def test_elements_that_change_are_the_same_under_a_key(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"count": "branches[].branch"}, "unique_by": ["app"]})
    for sha in ("a", "b"):
        found = [{"branch": str(number), "sha": sha} for number in range(10)]
        assert (await bench.ask(sets({"app": "x", "branches": found}))).status == 200
    (history,) = (await site.admin("GET", "/api/history?name=r-one"))[1]
    assert [change["went"] for change in history["changes"]] == [0]


@pytest.mark.parametrize(("first", "then"), [({}, COUNTED), (COUNTED, {})], ids=["on", "off"])
@pytest.mark.parametrize("keys", [{}, {"unique_by": ["app"]}], ids=["whole sets", "unique_by"])
async def test_a_reload_that_turns_counting_on_or_off_holds_nothing(
    bench: Bench, first: Any, then: Any, keys: Any
) -> None:
    site = await bench.open(route={**first, **keys})
    answer = sets(*({"app": str(app), "branches": [f"{app}-{number}" for number in range(3)]} for app in range(10)))
    assert (await bench.ask(answer)).status == 200
    route = {"name": "r", "application_sets": ["r-*"], "backends": ["b"], **then, **keys}
    site.reconfigure(routes=[route])
    assert (await bench.ask()).status == 200
    fewer = sets(*({"app": str(app), "branches": [f"{app}-0"]} for app in range(10)))
    assert (await bench.ask(fewer)).status == (409 if then or not keys else 200)
    assert (await bench.ask(named())).status == 409, "all of them"


async def test_more_elements_than_sets_are_allowed_are_refused(bench: Bench) -> None:
    await bench.open(route=COUNTED, limits={"max_sets": 10})
    assert (await bench.ask(branches(*range(10)))).status == 200
    reply = await bench.ask(branches(*range(11)))
    assert (reply.status, reply.reason) == (502, "answer_refused")
    assert 'the lists under "branches[]" have more than 10 elements together (limits.max_sets)' in reply.message


@pytest.mark.parametrize("restart", [False, True])
async def test_a_list_that_shrinks_is_a_notice_and_in_the_history(bench: Bench, *, restart: bool) -> None:
    site = await bench.open(route={"unique_by": ["app"]})
    await bench.ask(branches(*range(12), app="a"))
    if restart:
        await bench.restart()
    assert (await bench.ask(branches(1, app="a"))).status == 200
    (notice,) = (one for one in (await site.admin("GET", "/api/notices"))[1] if one["notice"]["kind"] == "shrunk_list")
    assert notice["backend"] == "b"
    assert notice["notice"]["text"] == (
        'the lists under the key "branches" have 1 elements in this answer, and had 12 in the one before; if each '
        "becomes an Application, name the list in guard.count"
    )
    (history,) = (await site.admin("GET", "/api/history?name=r-one"))[1]
    assert [change["lists"] for change in history["changes"]] == [{"branches": 12}, {"branches": 1}]


def tagged(tag: str, count: int = 10) -> Answer:
    """Ten sets, of which so many have this tag."""
    return sets(*({"name": str(one), "tag": tag if one < count else "1"} for one in range(10)))


async def test_garbage_under_a_key_everywhere_is_held_where_changes_are_limited(bench: Bench) -> None:
    site = await bench.open(route={"unique_by": ["name"], "guard": {"max_change": "50%"}})
    assert (await bench.ask(tagged("1"))).status == 200
    assert (await bench.ask(tagged("2", 5))).status == 200
    reply = await bench.ask(tagged("?"))
    assert "10 of 10 parameter sets have changed, more than guard.max_change (50%)" in reply.message
    (held,) = (await site.admin("GET", "/api/held"))[1]
    assert (held["limit"], held["went"], held["changed"]) == ("max_change", 0, 10)
    assert await site.decide("accept", reply.held_id) == 200
    assert (await bench.ask(tagged("!"))).status == 200, "an accept is for these sets, and not for their values"


async def test_an_accept_of_changes_covers_no_other_sets(bench: Bench) -> None:
    site = await bench.open(route={"unique_by": ["name"], "guard": {"max_change": "50%"}})
    await bench.ask(tagged("1"))
    assert await site.decide("accept", (await bench.ask(tagged("?", 6))).held_id) == 200
    assert (await bench.ask(tagged("?", 7))).status == 409


async def test_without_a_limit_any_number_may_change(bench: Bench) -> None:
    await bench.open(route={"unique_by": ["name"]})
    for tag in "123":
        assert (await bench.ask(sets(*({"name": str(one), "tag": tag} for one in range(1000))))).status == 200


async def test_whole_sets_that_change_one_by_one_do_not_add_up(bench: Bench) -> None:
    await bench.open()
    tags = ["1"] * 10
    for number in range(30):
        tags[number % 10] = str(number)
        assert (await bench.ask(sets(*({"name": str(one), "tag": tag} for one, tag in enumerate(tags))))).status == 200
        bench.clock.pass_(60)

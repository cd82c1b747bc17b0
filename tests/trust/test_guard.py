"""The guard holds an answer that loses too much, and only an operator or time lets it through."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.hubs import ADMIN_TOKEN, TOKEN, Site, WallClock
from tests.trust.stub import Stub, fails, named, says, sets
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from pathlib import Path

    from tests.trust.bench import Bench

TEN = named(*range(10))
FOUR = named(*range(4))
OTHER_FOUR = named(*range(6, 10))
UNIQUE = {"unique_by": ["name"]}


@pytest.mark.parametrize(
    ("before", "left", "held"),
    [
        pytest.param(10, 4, True, id="6 of 10"),
        pytest.param(10, 5, False, id="5 of 10 is not more than half"),
        pytest.param(10, 6, False, id="4 of 10"),
        pytest.param(10, 0, True, id="all of 10"),
        pytest.param(3, 0, False, id="3 of 3 is below min_sets"),
        pytest.param(4, 0, False, id="4 of 4 is below min_sets"),
        pytest.param(5, 0, True, id="5 of 5 is min_sets"),
        pytest.param(9, 4, True, id="5 of 9 is more than half"),
    ],
)
async def test_what_loses_more_than_half_and_at_least_five_is_held(
    bench: Bench, before: int, left: int, *, held: bool
) -> None:
    await bench.open()
    assert (await bench.ask(named(*range(before)))).status == 200
    reply = await bench.ask(named(*range(left)))
    if not held:
        assert reply.names == [str(number) for number in range(left)]
        return
    assert f"{before - left} of {before} parameter sets are missing" in reply.message
    assert reply.verdict.is_error
    assert reply.held_id


async def test_a_set_that_changed_is_another_one_unless_its_keys_say_who_it_is(bench: Bench) -> None:
    await bench.open(route=UNIQUE)
    assert (await bench.ask(sets(*({"name": str(number), "v": 1} for number in range(10))))).status == 200
    assert (await bench.ask(sets(*({"name": str(number), "v": 2} for number in range(10))))).status == 200
    assert (await bench.ask(sets(*({"name": str(number), "v": 2} for number in range(4))))).status == 409


async def test_without_such_keys_ten_changed_sets_are_ten_lost_ones(bench: Bench) -> None:
    await bench.open()
    assert (await bench.ask(sets(*({"name": str(number), "v": 1} for number in range(10))))).status == 200
    assert "10 of 10" in (await bench.ask(sets(*({"name": str(number), "v": 2} for number in range(10))))).message


async def test_a_held_answer_never_moves_the_baseline(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    for _ in range(3):
        assert (await bench.ask(FOUR)).status == 409
    # Against the four that were held, these two would be nothing to hold.
    assert "8 of 10" in (await bench.ask(named(0, 1))).message
    assert (await bench.ask(TEN)).names == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    "failure",
    [fails(13), fails(14), says(b""), says(b"[{}]"), says(b"null")],
    ids=["13", "14", "nothing", "{}", "null"],
)
async def test_a_failed_answer_never_moves_the_baseline(bench: Bench, failure: Any) -> None:
    await bench.open()
    await bench.ask(TEN)
    assert (await bench.ask(failure)).status >= 500
    assert "6 of 10" in (await bench.ask(FOUR)).message


async def test_a_preview_with_another_input_does_not_move_the_baseline(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN, team="red")
    assert (await bench.ask(named(1, 2), team="preview")).names == ["1", "2"]
    assert "6 of 10" in (await bench.ask(FOUR, team="red")).message


async def test_another_client_and_another_name_have_baselines_of_their_own(bench: Bench) -> None:
    site = bench.site
    await bench.open(clients=[{"name": name, "tokens": site.token(name)} for name in ("argocd", "other")])
    await bench.ask(TEN)
    bench.says = FOUR
    async with site.caller("other-token") as other:
        assert (await other.ask("r-one", {})).status == 200
    assert (await bench.ask(name="r-two")).status == 200
    assert (await bench.ask()).status == 409


async def test_the_same_answer_has_the_same_message(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    first = await bench.ask(FOUR)
    await bench.ask(OTHER_FOUR)
    bench.clock.pass_(100)
    assert (await bench.ask(FOUR)).body == first.body


def services(tag: str, *numbers: int) -> Any:
    return sets(*({"name": f"svc-{number}", "tag": tag} for number in numbers))


async def test_a_release_is_held_once_and_taught_and_a_loss_is_still_held(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(services("1", *range(8)))
    first, second = await bench.ask(services("2", *range(8))), await bench.ask(services("3", *range(8)))
    assert "8 of 8 sets changed, 0 missing; " in first.message
    assert "Suggested: unique_by: [name]" in first.message
    assert first.body == second.body
    assert first.verdict.is_error
    assert await site.decide("accept", first.held_id, unique_by=("tag",)) == 409, "it tells no sets apart"
    assert await site.decide("accept", first.held_id, unique_by=("name",)) == 200
    assert len((await bench.ask()).names) == 8
    await bench.restart()
    assert len((await bench.ask(services("4", *range(8)))).names) == 8
    assert "6 of 8 parameter sets are missing" in (await bench.ask(services("5", 0, 1))).message


@pytest.mark.parametrize("before", [(), ("name",), ("name", "zone")], ids=["whole sets", "name", "name and zone"])
@pytest.mark.parametrize("later", [(), ("name",), ("zone", "name")], ids=["whole sets", "name", "zone and name"])
async def test_a_loss_is_held_whatever_the_keys_were_before(
    bench: Bench, before: tuple[str, ...], later: tuple[str, ...]
) -> None:
    def ten(tag: str, *numbers: int) -> Any:
        return sets(*({"name": f"svc-{n}", "zone": f"z-{n % 2}", "tag": tag, "pad": "x" * 60} for n in numbers))

    site = await bench.open(route={"unique_by": list(before)})
    await bench.ask(ten("1", *range(10)))
    route = {"name": "r", "application_sets": ["r-*"], "backends": ["b"], "unique_by": list(later)}
    site.reconfigure(routes=[route])
    assert "6 of 10 parameter sets are missing" in (await bench.ask(ten("1", *range(4)))).message
    assert (await bench.ask(ten("2", *range(4), *range(20, 26)))).status == 409, "six others are not the same"
    if before or later:
        assert len((await bench.ask(ten("2", *range(10)))).names) == 10


async def test_what_cannot_be_compared_under_other_keys_is_held(bench: Bench) -> None:
    site = await bench.open(route=UNIQUE)
    await bench.ask(TEN)
    route = {"name": "r", "application_sets": ["r-*"], "backends": ["b"], "unique_by": ["app"]}
    site.reconfigure(routes=[route])
    assert "10 of 10" in (await bench.ask(sets(*({"app": str(number)} for number in range(10))))).message


@pytest.mark.parametrize("rules", [UNIQUE, {"required_keys": ["name"]}], ids=["unique_by", "required_keys"])
async def test_an_empty_text_identifies_no_set(bench: Bench, rules: Any) -> None:
    await bench.open(route=rules)
    reply = await bench.ask(named("", "ok"))
    assert (reply.status, reply.reason) == (502, "answer_refused")
    assert "set 1 of 2 has an empty string under the" in reply.message


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(named("a", "a"), "have equal values"), (named("a", ""), "empty string"), (sets({"n": "a"}), "lacks the key")],
    ids=["twice", "empty", "missing"],
)
async def test_an_answer_that_breaks_declared_keys_is_refused(bench: Bench, answer: Any, problem: str) -> None:
    await bench.open(declares=("name",))
    reply = await bench.ask(answer)
    assert (reply.status, reply.reason) == (502, "answer_refused")
    assert problem in reply.message
    assert 'backend "b"' in reply.message


async def test_what_a_backend_declares_lets_a_release_pass(bench: Bench) -> None:
    await bench.open(declares=("name",))
    await bench.ask(services("1", *range(8)))
    assert len((await bench.ask(services("2", *range(8)))).names) == 8
    assert "5 of 8 parameter sets are missing" in (await bench.ask(services("3", 0, 1, 2))).message


async def test_taught_keys_that_do_not_fit_let_nothing_through(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(services("1", *range(8)))
    assert await site.decide("accept", (await bench.ask(services("2", *range(8)))).held_id, unique_by=("name",)) == 200
    await bench.ask()
    doubled = sets(*({"name": f"svc-{number}", "zone": zone} for number in range(8) for zone in "ab"))
    held_id = (await bench.ask(doubled)).held_id
    assert await site.decide("accept", held_id) == 200
    assert len((await bench.ask()).names) == 16
    assert "9 of 16" in (await bench.ask(sets(*({"name": f"svc-{n}", "zone": "a"} for n in range(7))))).message


async def test_an_accepted_release_covers_no_loss(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(services("1", *range(8)))
    assert await site.decide("accept", (await bench.ask(services("2", *range(8)))).held_id) == 200
    assert (await bench.ask(services("3", *range(7)))).status == 409


async def test_an_accepted_change_of_all_sets_is_no_acceptance_of_an_empty_list(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(named(*(f"old-{number}" for number in range(8))))
    assert await site.decide("accept", (await bench.ask(named(*(f"new-{n}" for n in range(8))))).held_id) == 200
    assert (await bench.ask(named())).status == 409


async def test_accept_lets_exactly_that_answer_through_and_once(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    assert await site.decide("accept", held_id) == 200
    assert (await bench.ask(FOUR)).names == ["0", "1", "2", "3"]
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409, "it passes once"


async def test_accept_lets_no_other_answer_through(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    assert await site.decide("accept", held_id) == 200
    other = await bench.ask(OTHER_FOUR)
    assert other.held_id != held_id
    assert (await bench.ask(named(*range(3)))).status == 409


async def test_an_answer_in_between_ends_the_acceptance(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    assert await site.decide("accept", held_id) == 200
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409


@pytest.mark.parametrize("decided_first", [True, False])
async def test_accept_works_after_a_restart(bench: Bench, *, decided_first: bool) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    if decided_first:
        assert await site.decide("accept", held_id) == 200
        await bench.restart()
    else:
        await bench.restart()
        assert await site.decide("accept", held_id) == 200
    assert (await bench.ask(OTHER_FOUR)).status == 409
    bench.says = FOUR
    assert (await bench.ask()).status == 409, "the one in between took its place"


async def test_an_accepted_answer_passes_once_after_a_restart(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    await bench.restart()
    assert [one["id"] for one in (await site.admin("GET", "/api/held"))[1]] == [held_id]
    assert await site.decide("accept", held_id) == 200
    await bench.restart()
    assert (await bench.ask(FOUR)).names == ["0", "1", "2", "3"]
    await bench.restart()
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409


async def test_the_baseline_survives_a_restart(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    await bench.restart()
    assert "6 of 10" in (await bench.ask(FOUR)).message


@pytest.mark.parametrize("restarts", [(), (3, 7)], ids=["in one go", "over restarts"])
async def test_a_large_baseline_follows_each_small_change(bench: Bench, restarts: tuple[int, ...]) -> None:
    await bench.open()
    for change in range(10):
        assert len((await bench.ask(named(*range(100 + change)))).names) == 100 + change
        if change in restarts:
            await bench.restart()
    await bench.restart()
    assert "59 of 109 parameter sets are missing" in (await bench.ask(named(*range(50)))).message
    assert (await bench.ask(named(*range(1, 109)))).status == 200


async def test_a_large_baseline_that_is_written_anew_forgets_what_had_changed(bench: Bench) -> None:
    await bench.open()
    for count in (100, 105, 80):
        assert (await bench.ask(named(*range(count)))).status == 200
    await bench.restart()
    assert "50 of 80 parameter sets are missing" in (await bench.ask(named(*range(30)))).message


async def test_reject_keeps_it_held_even_where_time_would_release_it(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    assert await site.decide("reject", held_id) == 200
    bench.clock.pass_(10 * 3600)
    reply = await bench.ask(FOUR)
    assert (reply.status, reply.held_id) == (409, held_id)
    assert "rejected" in reply.message
    assert await site.decide("accept", held_id) == 200, "one may think better of it"
    assert (await bench.ask(FOUR)).status == 200


async def test_equal_answers_for_long_enough_are_released(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(TEN)
    assert (await bench.ask(FOUR)).status == 409
    bench.clock.pass_(30 * 60 - 1)
    assert (await bench.ask(FOUR)).status == 409
    bench.clock.pass_(1)
    assert (await bench.ask(FOUR)).names == ["0", "1", "2", "3"]


async def test_a_different_held_answer_starts_the_time_anew(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(TEN)
    await bench.ask(FOUR)
    bench.clock.pass_(20 * 60)
    assert (await bench.ask(OTHER_FOUR)).status == 409
    bench.clock.pass_(20 * 60)
    assert (await bench.ask(FOUR)).status == 409
    bench.clock.pass_(20 * 60)
    assert (await bench.ask(FOUR)).status == 409
    bench.clock.pass_(10 * 60)
    assert (await bench.ask(FOUR)).status == 200


async def test_an_accepted_answer_in_between_starts_the_time_anew(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(TEN)
    await bench.ask(FOUR)
    assert (await bench.ask(TEN)).status == 200
    bench.clock.pass_(3600)
    assert (await bench.ask(FOUR)).status == 409


async def test_time_goes_on_over_a_restart(bench: Bench) -> None:
    await bench.open(route={"guard": {"release": {"after": "30m"}}})
    await bench.ask(TEN)
    await bench.ask(FOUR)
    await bench.restart()
    bench.clock.pass_(30 * 60)
    assert (await bench.ask(FOUR)).status == 200


async def test_manual_release_never_comes_by_itself(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    await bench.ask(FOUR)
    bench.clock.pass_(365 * 24 * 3600)
    assert (await bench.ask(FOUR)).status == 409


async def test_observe_lets_it_pass_and_goes_on_from_there(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"mode": "observe"}})
    await bench.ask(TEN)
    assert (await bench.ask(FOUR)).status == 200
    (history,) = (await site.admin("GET", "/api/history?name=r-one"))[1]
    assert [(change["sets"], change["went"], change["how"]) for change in history["changes"]] == [
        (10, 0, "checked"),
        (4, 6, "observed"),
    ]


async def test_off_does_not_look(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"mode": "off"}})
    await bench.ask(TEN)
    assert (await bench.ask(named())).status == 200
    assert (await site.admin("GET", "/api/history?name=r-one"))[1] == []


async def test_a_reload_turns_the_guard_on_for_the_next_answer(bench: Bench) -> None:
    site = await bench.open(route={"guard": {"mode": "observe"}, "cache": {"fresh": "1h", "max": "1h"}})
    await bench.ask(TEN)
    site.reconfigure(routes=[{"name": "r", "application_sets": ["r-*"], "backends": ["b"]}])
    assert (await bench.ask(FOUR)).status == 409


@pytest.mark.parametrize("route", ["concat", {"merge": {"on": ["name"]}}, "first"], ids=["concat", "merge", "first"])
async def test_it_looks_at_the_combined_answer(bench: Bench, route: Any) -> None:
    more = Stub("more", lambda _: TEN if route != "concat" else named("other"))
    await bench.open(route={"backends": ["b", "more"], "combine": route}, backends={"b": {}, "more": {}})
    await bench.attach(more)
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409


async def test_routes_made_of_claims_are_guarded_too(bench: Bench) -> None:
    await bench.open()
    await bench.backend.stop()
    await bench.attach(Stub("b", bench.behave, instance="two", claims=["c-*"]))
    assert (await bench.ask(TEN, name="c-one")).status == 200
    assert (await bench.ask(FOUR, name="c-one")).status == 409


async def test_who_decided_what_and_when_lasts(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    bench.clock.pass_(60)
    await site.decide("reject", held_id, by="ann")
    bench.clock.pass_(60)
    await site.decide("accept", held_id, by="bob")
    bench.clock.pass_(60)
    await bench.ask(FOUR)
    await bench.restart()
    entries = (await site.admin("GET", "/api/audit"))[1]
    start_s = bench.clock.now_s - 180
    assert [(one["at_s"] - start_s, one["who"], one["action"]) for one in entries] == [
        (60, "ann", "reject"),
        (120, "bob", "accept"),
        (180, "bob", "passed"),
    ]
    assert {(one["held_id"], one["went"], one["before"]) for one in entries} == {(held_id, 6, 10)}
    assert entries[0]["subject"]["application_set_name"] == "r-one"


async def test_what_is_held_is_shown_with_what_is_missing(bench: Bench) -> None:
    site = await bench.open(route=UNIQUE)
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    (held,) = (await site.admin("GET", "/api/held"))[1]
    assert (held["id"], held["went"], held["before"], held["sets"]) == (held_id, 6, 10, 4)
    assert sorted(held["missing"]) == ["4", "5", "6", "7", "8", "9"]
    assert held["subject"]["route"] == "r"


async def test_nobody_accepts_without_the_admin_token_or_without_a_name(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    path = f"/api/held/{held_id}/accept"
    assert (await site.admin("POST", path, {"by": "ann"}, token="argocd-token"))[0] == 403
    assert (await site.admin("POST", path, {"by": "ann"}, token=ADMIN_TOKEN[:-1]))[0] == 403
    assert (await site.admin("POST", path, {}))[0] == 400
    assert (await site.admin("POST", path, {"by": ""}))[0] == 400
    assert (await site.admin("POST", "/api/held/00000000/accept", {"by": "ann"}))[0] == 404
    assert (await bench.ask(FOUR)).status == 409


async def test_the_history_tells_what_came_and_went_and_is_bounded(bench: Bench) -> None:
    site = await bench.open(route=UNIQUE)
    for count in range(1, 26):
        assert (await bench.ask(named(*range(count)))).status == 200
    await bench.ask(named(*range(24)))
    await bench.restart()
    (history,) = (await site.admin("GET", "/api/history?name=r-one"))[1]
    changes = history["changes"]
    assert len(changes) == 20
    last = changes[-1]
    assert (last["sets"], last["came"], last["went"], last["went_shown"]) == (24, 0, 1, ["24"])
    assert last["members"] == {"b": 24}
    assert changes[-2]["came_shown"] == ["24"]
    assert (await site.admin("GET", "/api/history?name=r-other"))[1] == []


async def test_a_hub_that_is_killed_forgets_nothing(tmp_path: Path) -> None:
    says_now = TEN
    site = Site(tmp_path, WallClock())
    site.configure(
        backends={"b": {}},
        routes=[{"name": "r", "application_sets": ["r-*"], "backends": ["b"]}],
        log={"level": "info", "format": "json"},
    )

    async def asked(hub: _Process) -> Any:
        async with Caller(hub.ports["http"], TOKEN) as caller:
            return await caller.ask("r-one", {})

    async with Stub("b", lambda _: says_now) as stub:
        first = await _Process.start(tmp_path)
        await stub.start(lambda: f"127.0.0.1:{first.ports['grpc']}")
        assert (await asked(first)).status == 200
        says_now = FOUR
        held_id = (await asked(first)).held_id
        async with Caller(first.ports["admin"], ADMIN_TOKEN) as operator:
            path, body = f"/api/held/{held_id}/accept", json.dumps({"by": "ann"}).encode()
            assert (await operator.send(operator.request("POST", path, body))).status == 200
        await first.kill()
        await stub.stop()
        second = await _Process.start(tmp_path)
        await stub.start(lambda: f"127.0.0.1:{second.ports['grpc']}")
        assert (await asked(second)).names == ["0", "1", "2", "3"]
        says_now = TEN
        assert (await asked(second)).status == 200
        await second.kill()
        await stub.stop()
        third = await _Process.start(tmp_path)
        await stub.start(lambda: f"127.0.0.1:{third.ports['grpc']}")
        says_now = FOUR
        assert (await asked(third)).status == 409
        await third.kill()


class _Process:
    """A hub in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, int]) -> None:
        self._process = process
        self.ports = ports

    @classmethod
    async def start(cls, folder: Path) -> _Process:
        code = "import sys; from hub.cli import main; sys.exit(main())"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            "serve",
            "--config",
            str(folder / "hub.yaml"),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stderr is not None
        async for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "hub_started":
                return cls(process, {key: int(event[key].rpartition(":")[2]) for key in ("http", "grpc", "admin")})
        raise AssertionError("the hub ended before it served")

    async def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        assert self._process.stderr is not None
        await self._process.stderr.read()
        await self._process.wait()

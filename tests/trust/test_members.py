"""An answer is whole: every member's, in full, or it is none. Who is away, or wrong, takes nothing out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.scripts import MAX_ANSWER_BYTES, MAX_DEPTH, MAX_SETS, MISTAKES
from tests.trust.stub import Answer, Request, Stub, fails, named, says, sets
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from tests.trust.bench import Bench

# What Argo CD's own library makes of sets whose keys meet; a test in tests/argocd compares it with that library.
FLATTENED = json.loads((Path(__file__).parent / "data/flattened.json").read_bytes())
MERGE = {"merge": {"on": ["name"]}}
LIMITS = {"max_answer_bytes": MAX_ANSWER_BYTES, "max_sets": MAX_SETS, "max_depth": MAX_DEPTH}
TWO = {"b": {"application_sets": ["c-*"]}, "more": {"application_sets": ["c-*"]}}
CLAIM = ["c-*"]


def short(raw: bytes) -> str:
    return repr(raw[:40])


@pytest.mark.parametrize("mistake", MISTAKES, ids=short)
async def test_what_breaks_the_contract_is_refused(bench: Bench, mistake: bytes) -> None:
    await bench.open(limits=LIMITS)
    reply = await bench.ask(says(mistake))
    assert (reply.status, reply.reason) == (502, "answer_refused")
    assert reply.verdict.is_error


async def test_a_set_is_refused_exactly_if_flattening_would_lose_one_of_its_values(bench: Bench) -> None:
    await bench.open()
    wrong = []
    for one in FLATTENED:
        reply = await bench.ask(says(json.dumps([one["set"]]).encode()))
        if reply.status != (502 if one["lost"] else 200):
            wrong.append((one["set"], reply))
    assert wrong == []


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (b'[{"a":1e400}]', "number out of range"),
        (b'[{"a":"1","a":"2"}]', '"a"'),
        (b"[" + b",".join([b'{"a":"x"}'] * (MAX_SETS + 1)) + b"]", f"more than {MAX_SETS} parameter sets"),
        (
            b'[{"a":"' + b"x" * MAX_ANSWER_BYTES + b'"}]',
            f'"b" answered with {MAX_ANSWER_BYTES + 10} bytes, and limits.max_answer_bytes is {MAX_ANSWER_BYTES};',
        ),
    ],
    ids=["number", "key", "sets", "bytes"],
)
async def test_a_refusal_says_what_is_wrong(bench: Bench, mistake: bytes, words: str) -> None:
    await bench.open(limits=LIMITS)
    reply = await bench.ask(says(mistake))
    assert words in reply.message
    assert reply.reason == "answer_refused"


@pytest.mark.parametrize("mistake", MISTAKES, ids=short)
@pytest.mark.parametrize("how", ["concat", MERGE], ids=["concat", "merge"])
async def test_one_members_mistake_is_nobodys_answer(bench: Bench, how: Any, mistake: bytes) -> None:
    await bench.open(backends=TWO, limits=LIMITS, route={"backends": ["more", "b"], "combine": how})
    await bench.attach(Stub("more", lambda _: named("x")))
    assert (await bench.ask(named("y"))).status == 200
    assert (await bench.ask(says(mistake))).status == 502


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(says(b'[{"a":"x"}]', not_modified=True), id="both an answer and none"),
        pytest.param(says(b"[]", digest="x" * 129), id="a digest too long"),
        pytest.param(Answer(), id="no outcome"),
    ],
)
async def test_an_answer_that_contradicts_itself_is_none(bench: Bench, broken: Answer) -> None:
    await bench.open()
    await bench.ask(named(1, digest="d"))
    assert (await bench.ask(broken)).status == 502


@pytest.mark.parametrize(
    ("code", "status"), [(code, {3: 400, 4: 504, 14: 503}.get(code, 502)) for code in (*range(17), 99, -1)]
)
async def test_every_code_of_a_failure_is_an_error(bench: Bench, code: int, status: int) -> None:
    await bench.open()
    await bench.ask(named(1))
    assert (await bench.ask(fails(code))).status == status


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ({"required_keys": ["name", "v"]}, sets({"name": "1", "v": 1}, {"name": "2"})),
        ({"required_keys": ["v"]}, sets({"name": "1", "v": None})),
        ({"unique_by": ["name"]}, sets({"name": "1", "v": 1}, {"name": "1", "v": 2})),
        ({"unique_by": ["name"]}, sets({"name": "1"}, {"v": 2})),
    ],
    ids=["a key is missing", "a key is null", "two alike", "one without"],
)
async def test_what_breaks_the_routes_rules_is_refused(bench: Bench, rules: dict[str, Any], answer: Answer) -> None:
    await bench.open(route=rules)
    assert (await bench.ask(answer)).reason == "answer_refused"


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        ([{"name": "x"}, {"name": "y"}], [{"name": "y", "v": 1}], [{"name": "x"}, {"name": "y", "v": 1}]),
        ([{"name": "x"}], [{"name": "z", "v": 1}], [{"name": "x"}]),
        ([{"name": "x", "v": 1}], [{"name": "x", "v": 2}], None),
        ([{"name": "x", "v": 1}], [{"name": "x", "v": True}], None),
        ([{"name": "x"}, {"name": "x", "v": 1}], [], None),
        ([{"name": "x"}], [{"name": "x", "v": 1}, {"name": "x", "w": 1}], None),
        ([{"name": "x"}], [{"v": 1}], None),
    ],
    ids=["found", "not found", "a conflict", "1 is not true", "twice at the first", "twice at another", "without"],
)
async def test_a_merge_enriches_and_never_guesses(bench: Bench, one: Any, other: Any, merged: Any) -> None:
    await bench.open(backends=TWO, route={"backends": ["b", "more"], "combine": MERGE})
    await bench.attach(Stub("more", lambda _: sets(*other)))
    reply = await bench.ask(sets(*one))
    assert (reply.sets if merged is not None else reply.status) == (merged if merged is not None else 502)


@pytest.mark.parametrize(
    ("first", "status", "names"),
    [(named(), 200, []), (named("x"), 200, ["x"]), (fails(13), 200, ["second"]), (says(b"[{}]"), 200, ["second"])],
    ids=["an empty answer is one", "an answer", "a failure", "a mistake"],
)
async def test_the_first_that_does_not_fail(bench: Bench, first: Answer, status: int, names: list[str]) -> None:
    await bench.open(backends=TWO, route={"backends": ["b", "more"], "combine": "first"})
    await bench.attach(Stub("more", lambda _: named("second")))
    reply = await bench.ask(first)
    assert (reply.status, reply.names) == (status, names)


@pytest.mark.parametrize("how", ["concat", MERGE], ids=["concat", "merge"])
async def test_a_member_that_is_away_is_an_error_that_names_it(bench: Bench, how: Any) -> None:
    await bench.open(backends=TWO, route={"backends": ["b", "more"], "combine": how})
    more = await bench.attach(Stub("more", lambda _: named("more")))
    assert (await bench.ask(named("x"))).status == 200
    await more.stop()
    reply = await bench.ask()
    assert (reply.status, reply.reason) == (503, "backend_absent")
    assert '"more"' in reply.message


async def claimed_by_two(bench: Bench, **settings: Any) -> Stub:
    await bench.open(backends=TWO, **settings)
    await bench.backend.stop()
    bench.backend = await bench.attach(Stub("b", bench.behave, instance="two", claims=CLAIM))
    return await bench.attach(Stub("more", lambda _: named("more"), claims=CLAIM))


async def test_one_who_claimed_and_went_away_is_missed(bench: Bench) -> None:
    more = await claimed_by_two(bench)
    assert (await bench.ask(named("x"), name="c-one")).names == ["x", "more"]
    await more.stop()
    await bench.noticed_absence("more")
    assert (await bench.ask(name="c-one")).reason == "backend_absent"
    assert (await bench.site.admin("POST", "/api/backends/more/forget"))[0] == 200
    assert (await bench.ask(name="c-one")).names == ["x"]


async def test_a_hub_that_came_up_first_does_not_answer_with_half(bench: Bench) -> None:
    more = await claimed_by_two(bench)
    await more.stop()
    await bench.restart()
    assert (await bench.ask(named("x"), name="c-one")).reason == "backend_absent"
    await bench.attach(Stub("more", lambda _: named("more"), claims=CLAIM))
    assert (await bench.ask(name="c-one")).names == ["x", "more"]


async def first_start(bench: Bench, **settings: Any) -> None:
    """A new hub to which only one of two backends with one grant has connected."""
    await bench.open(backends=TWO, **settings)
    await bench.backend.stop()
    bench.backend = await bench.attach(Stub("b", bench.behave, instance="two", claims=CLAIM))


@pytest.mark.parametrize("store", ["memory:", "sqlite:hub.db"])
async def test_a_new_hub_does_not_answer_with_the_one_who_was_first(bench: Bench, store: str) -> None:
    await first_start(bench, store=store)
    reply = await bench.ask(named("x"), name="c-one")
    assert (reply.status, reply.reason) == (503, "backend_never_seen")
    assert '"more"' in reply.message
    assert (await bench.site.admin("GET", "/readyz"))[1]["never_seen_backends"] == ["more"]
    assert "more" in (await bench.site.admin("GET", "/api/explain?name=c-one"))[1]["refusal"]
    await bench.attach(Stub("more", lambda _: named("more"), claims=CLAIM if store != "memory:" else ["c-two"]))
    assert (await bench.ask(name="c-one")).names == (["x", "more"] if store != "memory:" else ["x"])


async def test_a_backend_that_a_reload_adds_holds_up_new_names_only(bench: Bench) -> None:
    await bench.open()
    await bench.backend.stop()
    bench.backend = await bench.attach(Stub("b", bench.behave, instance="two", claims=CLAIM))
    assert (await bench.ask(named("x"), name="c-one")).names == ["x"]
    backends = [{"name": name, "tokens": bench.site.token(name), **more} for name, more in TWO.items()]
    bench.site.reconfigure(backends=backends)
    assert (await bench.ask(name="c-one")).names == ["x"]
    assert (await bench.ask(name="c-two")).reason == "backend_never_seen"
    bench.site.reconfigure(backends=[backends[0], {**backends[1], "expected": False}])
    assert (await bench.ask(name="c-two")).names == ["x"]


async def test_a_store_that_forgets_allows_no_route_of_several_claims(bench: Bench) -> None:
    await claimed_by_two(bench, store="memory:")
    assert (await bench.ask(named("x"), name="c-one")).reason == "store_needed"


async def test_a_claim_counts_only_inside_the_grant(bench: Bench) -> None:
    await bench.open()
    await bench.backend.stop()
    await bench.attach(Stub("b", bench.behave, instance="two", claims=["*"]))
    assert (await bench.ask(named("x"), name="c-one")).names == ["x"]
    assert (await bench.ask(name="other")).reason == "nobody_serves"


async def test_only_instances_that_claim_a_name_are_asked_for_it(bench: Bench) -> None:
    await bench.open()
    await bench.backend.stop()
    one = await bench.attach(Stub("b", lambda _: named("one"), instance="one", claims=["c-one"]))
    await bench.attach(Stub("b", lambda _: named("two"), instance="two", claims=["c-two"]))
    for _ in range(4):
        assert (await bench.ask(name="c-two")).names == ["two"]
    await one.stop()
    assert (await bench.ask(name="c-one")).reason == "backend_absent"


async def test_a_client_asks_only_what_it_may(bench: Bench) -> None:
    site = bench.site
    await bench.open(
        clients=[
            {"name": "argocd", "tokens": site.token("argocd")},
            {"name": "names", "tokens": site.token("names"), "application_sets": ["r-two"]},
            {"name": "routes", "tokens": site.token("routes"), "routes": ["x-*"]},
        ]
    )
    bench.says = named("x")
    assert (await bench.ask()).status == 200
    for token in ("names-token", "routes-token"):
        async with site.caller(token) as caller:
            assert (await caller.ask("r-one", {})).reason == "not_allowed"
            assert (await caller.ask("r-one", {}, route="r")).reason == "not_allowed"


async def test_an_instance_that_breaks_off_is_asked_again_or_its_sibling_is(bench: Bench) -> None:
    await bench.open(route={"wait_for_absent": "5s"})
    cuts: list[Stub] = []

    def behave(_: Request) -> Answer | None:
        if not cuts:
            cuts.append(bench.backend)
            bench.backend.cut()
            return None
        return named("x", "y")

    bench.backend.behave = behave
    async with Caller(bench.site.hub.http_port, "argocd-token") as caller:
        reply = await caller.ask("r-one", {})
    assert reply.names == ["x", "y"]
    assert len(cuts) == 1

"""Equal questions share an ask and a fresh answer is given again, and neither ever mixes up two questions."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from appset_hub import Answer as AuthorsAnswer
from appset_hub import Backend, Connection, running

from tests.trust.hubs import until
from tests.trust.stub import Answer, Request, Stub, fails, named, says
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.trust.bench import Bench

FRESH = {"cache": {"fresh": "1h", "max": "1h"}}
AT_ONCE = {"share_within": "1h"}  # However long this machine takes to send them.
TEN = named(*range(10))


def later() -> asyncio.Future[Answer]:
    return asyncio.get_running_loop().create_future()


async def metric(bench: Bench, sample: str) -> float:
    async with Caller(bench.site.hub.admin_port, "none") as caller:
        reply = await caller.send(caller.request("GET", "/metrics", b""))
    lines = [line for line in reply.body.decode().splitlines() if line.startswith(f"{sample} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


async def in_flight(bench: Bench, count: int) -> None:
    """Wait until the hub has so many questions."""
    while await metric(bench, "appset_hub_requests_in_flight") != count:
        pass


async def fifty(bench: Bench, stack: AsyncExitStack) -> list[Caller]:
    """Fifty equal questions, all of them with the hub."""
    callers = [await stack.enter_async_context(bench.site.caller()) for _ in range(50)]
    for caller in callers:
        await caller.write(caller.question("r-one", {"team": "red"}))
    await in_flight(bench, 50)
    return callers


async def test_fifty_equal_questions_at_once_are_one_ask(bench: Bench) -> None:
    await bench.open(route=AT_ONCE)
    bench.says = answer = later()
    async with AsyncExitStack() as stack:
        callers = await fifty(bench, stack)
        answer.set_result(TEN)
        replies = [await caller.read() for caller in callers]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert len(replies[0].sets) == 10
    assert len(bench.backend.asked) == 1


async def test_fifty_equal_questions_share_a_failure_too(bench: Bench) -> None:
    await bench.open(route=AT_ONCE)
    bench.says = answer = later()
    async with AsyncExitStack() as stack:
        callers = await fifty(bench, stack)
        answer.set_result(fails(13))
        replies = [await caller.read() for caller in callers]
    assert {reply.status for reply in replies} == {502}
    assert len(bench.backend.asked) == 1
    assert (await bench.ask(TEN)).status == 200, "what failed is over"


async def test_forty_nine_hang_up_and_the_fiftieth_is_answered(bench: Bench) -> None:
    await bench.open(route=AT_ONCE)
    bench.says = answer = later()
    async with AsyncExitStack() as stack:
        callers = await fifty(bench, stack)
        for caller in callers[:20] + callers[21:]:
            await caller.hang_up()
        await in_flight(bench, 2)  # His, and that of the first, which goes on for him.
        answer.set_result(TEN)
        reply = await callers[20].read()
    await in_flight(bench, 0)
    assert reply.names == [str(number) for number in range(10)]
    assert (len(bench.backend.asked), bench.backend.cancelled) == (1, 0)


async def test_when_all_hang_up_the_ask_is_cancelled_and_the_next_is_a_new_one(bench: Bench) -> None:
    await bench.open(route=AT_ONCE)
    bench.says = later()
    async with AsyncExitStack() as stack:
        for caller in await fifty(bench, stack):
            await caller.hang_up()
        await until(lambda: bench.backend.cancelled, "the backend is told")
    assert (await bench.ask(TEN)).status == 200
    assert (len(bench.backend.asked), bench.backend.cancelled) == (2, 1)


async def two_side_by_side(bench: Bench, stack: AsyncExitStack) -> tuple[list[Caller], list[asyncio.Future[Answer]]]:
    """Two equal questions, of which the second came too late to share the ask of the first."""
    asked, said = len(bench.backend.asked), [later(), later()]
    bench.backend.behave = lambda _: said[len(bench.backend.asked) - asked - 1]
    callers = [await stack.enter_async_context(bench.site.caller()) for _ in said]
    for count, caller in enumerate(callers, start=1):
        await caller.write(caller.question("r-one", {}))
        await until(lambda count=count: len(bench.backend.asked) == asked + count, "each has an ask of its own")
    return callers, said


async def test_a_question_that_comes_later_gets_an_answer_of_its_own(bench: Bench) -> None:
    await bench.open(route={"share_within": "0s"})
    async with AsyncExitStack() as stack:
        (first, second), said = await two_side_by_side(bench, stack)
        said[0].set_result(named("old"))
        assert (await first.read()).names == ["old"]
        said[1].set_result(named("new"))
        assert (await second.read()).names == ["new"]


async def test_an_answer_that_was_asked_for_later_is_good_for_those_before(bench: Bench) -> None:
    await bench.open(route={"share_within": "0s"})
    async with AsyncExitStack() as stack:
        callers, said = await two_side_by_side(bench, stack)
        said[1].set_result(named("new"))
        assert [(await caller.read()).names for caller in callers] == [["new"], ["new"]]
        await until(lambda: bench.backend.cancelled == 1, "the older ask is over")


async def test_what_equals_the_answer_before_the_last_is_reviewed(bench: Bench) -> None:
    await bench.open(route={"share_within": "0s"})
    await bench.ask(TEN)
    async with AsyncExitStack() as stack:
        (first, second), said = await two_side_by_side(bench, stack)
        said[0].set_result(named(*range(30)))
        assert len((await first.read()).names) == 30
        said[1].set_result(TEN)
        assert (await second.read()).reason == "answer_held"


async def test_an_answer_that_took_longer_than_it_is_fresh_is_not_given_again(bench: Bench) -> None:
    await bench.open(route={"cache": {"fresh": "200ms", "max": "200ms"}})
    bench.says = slow = later()
    asyncio.get_running_loop().call_later(0.3, slow.set_result, TEN)
    assert (await bench.ask()).status == 200
    bench.says = TEN
    assert (await bench.ask()).status == 200
    assert len(bench.backend.asked) == 2


async def test_eighty_sets_of_fifty_rows_twice_are_four_thousand_asks(bench: Bench) -> None:
    def behave(request: Request) -> Answer:
        return named(request.application_set_name, request.input_parameters_json)

    await bench.open(route=FRESH, store="memory:")
    bench.backend.behave = behave
    names = [f"r-{number}" for number in range(80)]

    async def rows(some: list[str]) -> int:
        async with bench.site.caller() as caller:
            right = 0
            for name in some:
                replies = await caller.pipeline([caller.question(name, {"row": row}) for row in range(50)])
                right += sum(reply.names == [name, f"b'{{\"row\":{row}}}'"] for row, reply in enumerate(replies))
            return right

    for _ in range(2):
        assert sum(await asyncio.gather(*(rows(names[start::8]) for start in range(8)))) == 4_000
    assert len(bench.backend.asked) == 4_000


@pytest.mark.parametrize(
    "error",
    [fails(13), fails(14), fails(4), says(b""), says(b"[{}]"), says(b"", not_modified=True)],
    ids=["13", "14", "4", "nothing", "{}", "not modified"],
)
async def test_an_error_is_never_cached(bench: Bench, error: Answer) -> None:
    await bench.open(route=FRESH)
    assert (await bench.ask(error)).status >= 500
    assert (await bench.ask(error)).status >= 500
    assert len(bench.backend.asked) == 2
    assert (await bench.ask(TEN)).status == 200


async def test_a_held_answer_is_never_cached(bench: Bench) -> None:
    await bench.open(route={"cache": {"max": "1h"}})
    await bench.ask(TEN)
    held = fresh_for(named(1), 3_600_000)
    assert (await bench.ask(held)).status == 409
    assert (await bench.ask(held)).status == 409
    assert (await bench.ask(TEN)).status == 200
    assert len(bench.backend.asked) == 4


async def test_a_fresh_answer_is_given_again_without_asking(bench: Bench) -> None:
    await bench.open(route=FRESH)
    first = await bench.ask(TEN)
    again = await bench.ask(fails(13))
    assert (again.status, again.body, again.stale) == (200, first.body, False)
    assert len(bench.backend.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"token": "other-token"}, id="client"),
        pytest.param({"route": "same"}, id="route"),
        pytest.param({"name": "r-two"}, id="name"),
        pytest.param({"namespace": "team"}, id="namespace"),
        pytest.param({"parameters": {"a": 1, "b": [3]}}, id="input"),
        pytest.param({"parameters": {"a": 1, "b": [2], "c": None}}, id="one more input"),
        pytest.param({"parameters": {"a": 1.0, "b": [2]}}, id="1.0 is not 1"),
        pytest.param({"parameters": {"a": "1", "b": [2]}}, id="a text is no number"),
        pytest.param({"parameters": {"a": True, "b": [2]}}, id="true is not 1"),
        pytest.param({"parameters": {}}, id="no input"),
    ],
)
@pytest.mark.parametrize("cached", [True, False], ids=["fresh", "in flight"])
async def test_what_may_change_the_answer_makes_another_question(
    bench: Bench, other: Mapping[str, Any], *, cached: bool
) -> None:
    site = bench.site
    route = {"application_sets": ["r-*"], "backends": ["b"], **FRESH}
    await bench.open(
        routes=[{"name": "r", **route}, {"name": "same", **route}],
        clients=[{"name": name, "tokens": site.token(name)} for name in ("argocd", "other")],
    )
    said = [later(), later()]
    bench.backend.behave = lambda _: said[len(bench.backend.asked) - 1]
    async with site.caller() as one, site.caller(other.get("token", "argocd-token")) as two:
        await one.write(question(one))
        await until(lambda: len(bench.backend.asked) == 1, "the first is asked")
        if cached:
            said[0].set_result(named("first"))
            assert (await one.read()).names == ["first"]
        await two.write(question(two, **other))
        await until(lambda: len(bench.backend.asked) == 2, "so is the second")
        said[1].set_result(named("second"))
        assert (await two.read()).names == ["second"]
        if not cached:
            said[0].set_result(named("first"))
            assert (await one.read()).names == ["first"]
        assert (await one.send(question(one))).names == ["first"]
        assert (await two.send(question(two, **other))).names == ["second"]


def question(
    caller: Caller,
    *,
    name: str = "r-one",
    route: str = "",
    namespace: str = "",
    parameters: Any = None,
    token: str = "",
) -> bytes:
    del token  # The caller's own.
    envelope = {
        "applicationSetName": name,
        "applicationSetNamespace": namespace,
        "input": {"parameters": {"a": 1, "b": [2]} if parameters is None else parameters},
    }
    path = f"/{route}/api/v1/getparams.execute" if route else "/api/v1/getparams.execute"
    return caller.request("POST", path, json.dumps(envelope).encode())


async def test_the_order_of_inputs_and_white_space_make_no_other_question(bench: Bench) -> None:
    await bench.open(route=FRESH)
    await bench.ask(TEN, a=1, b={"x": 1, "y": 2})
    await bench.ask(TEN, b={"y": 2, "x": 1}, a=1)
    assert len(bench.backend.asked) == 1


def fresh_for(answer: Answer, milliseconds: int) -> Answer:
    made = Answer()
    made.CopyFrom(answer)
    made.response.fresh_for.nanos = milliseconds % 1000 * 1_000_000
    made.response.fresh_for.seconds = milliseconds // 1000
    return made


async def test_what_a_backend_says_is_clamped(bench: Bench) -> None:
    await bench.open(route={"cache": {"max": "40ms"}})
    await bench.ask(fresh_for(TEN, 3_600_000))
    while len(bench.backend.asked) == 1:
        assert (await bench.ask()).status == 200


async def test_what_a_backend_says_counts_before_the_routes_own(bench: Bench) -> None:
    await bench.open(route=FRESH)
    await bench.ask(fresh_for(TEN, 0))
    await bench.ask(fresh_for(TEN, 0))
    assert len(bench.backend.asked) == 2


async def test_the_whole_is_as_fresh_as_its_shortest_part(bench: Bench) -> None:
    more = Stub("more", lambda _: fresh_for(named("more"), 0))
    await bench.open(route={**FRESH, "backends": ["b", "more"]}, backends={"b": {}, "more": {}})
    await bench.attach(more)
    await bench.ask(TEN)
    await bench.ask()
    assert (len(bench.backend.asked), len(more.asked)) == (2, 2)


async def test_nothing_is_cached_unless_somebody_says_so(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    await bench.ask()
    assert len(bench.backend.asked) == 2


@pytest.mark.parametrize("limit", [{"remembered_entries": 1}, {"remembered_bytes": 1_200}], ids=["entries", "bytes"])
async def test_what_is_remembered_is_bounded(bench: Bench, limit: dict[str, int]) -> None:
    await bench.open(route=FRESH, limits=limit)
    for number in (1, 1, 2, 1):
        assert (await bench.ask(named(number), number=number)).names == [str(number)]
    assert len(bench.backend.asked) == 3


async def test_a_reloaded_route_gives_no_answer_of_the_one_before(bench: Bench) -> None:
    site = await bench.open(route=FRESH)
    await bench.ask(says(b'[{"n":1234567}]', digest="d"))
    site.reconfigure(routes=[{"name": "r", "application_sets": ["r-*"], "backends": ["b"], "numbers": "text"}])
    assert (await bench.ask()).sets == [{"n": "1234567"}]
    bench.says = says(b"", not_modified=True)
    assert (await bench.ask()).sets == [{"n": "1234567"}]
    site.reconfigure(routes=[{"name": "r", "application_sets": ["r-*"], "backends": ["b"], "required_keys": ["x"]}])
    assert (await bench.ask()).status == 502


async def test_a_digest_comes_back_and_not_modified_is_the_answer_it_names(bench: Bench) -> None:
    await bench.open()
    first = await bench.ask(named(1, 2, digest="one"))
    assert bench.backend.asked[-1].known_digest == ""
    again = await bench.ask(says(b"", not_modified=True, digest="one"))
    assert bench.backend.asked[-1].known_digest == "one"
    assert again.body == first.body
    await bench.ask(named(3, digest="three"))
    await bench.ask(says(b"", not_modified=True))
    assert bench.backend.asked[-1].known_digest == "three"


async def test_not_modified_without_a_known_digest_is_an_error(bench: Bench) -> None:
    await bench.open()
    lie = says(b"", not_modified=True)
    assert (await bench.ask(lie)).reason == "answer_refused"
    await bench.ask(named(1, 2))
    assert bench.backend.asked[-1].known_digest == ""
    assert (await bench.ask(lie)).reason == "answer_refused"
    await bench.ask(named(1, 2, digest="one"))
    await bench.restart()
    assert (await bench.ask(lie)).reason == "answer_refused"
    assert (await bench.ask(lie, team="other")).reason == "answer_refused"


async def test_not_modified_of_another_digest_is_an_error(bench: Bench) -> None:
    await bench.open()
    await bench.ask(named(1, 2, digest="two"))
    assert (await bench.ask(says(b"", not_modified=True, digest="one"))).reason == "answer_refused"


async def test_not_modified_after_a_held_answer_is_the_accepted_one(bench: Bench) -> None:
    await bench.open()
    first = await bench.ask(named(*range(10), digest="ten"))
    assert (await bench.ask(named(1, digest="one"))).status == 409
    bench.says = says(b"", not_modified=True)
    reply = await bench.ask()
    assert bench.backend.asked[-1].known_digest == "ten", "the held answer is not one that the hub knows"
    assert reply.body == first.body


async def test_an_equal_digest_with_other_sets_is_read_anew(bench: Bench) -> None:
    await bench.open()
    await bench.ask(named(1, 2, digest="one"))
    assert (await bench.ask(named(1, 3, digest="one"))).names == ["1", "3"]
    assert (await bench.ask(says(b"[{}]", digest="one"))).status == 502


async def test_equal_bytes_are_compared_and_other_bytes_are_read(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    await bench.ask(TEN)
    await bench.ask(named(*range(11)))
    assert await metric(bench, 'appset_hub_checked_answers_total{how="read"}') == 2
    assert await metric(bench, 'appset_hub_checked_answers_total{how="same"}') == 1


async def test_the_sdk_says_not_modified_by_itself(bench: Bench) -> None:
    world: list[dict[str, object]] = [{"name": str(number)} for number in range(10)]

    async def function(_: object) -> AuthorsAnswer:
        return AuthorsAnswer(parameters=list(world))

    site = await bench.open()
    await bench.backend.stop()
    backend = Backend(function=function, name="b", application_sets=[])
    token_file = site.folder / "b"
    async with running(backend, Connection(hub=site.grpc_address, token_file=token_file)) as served:
        await served.attached()
        first = await bench.ask()
        again = await bench.ask()
        world.append({"name": "more"})
        changed = await bench.ask()
        assert (await bench.ask()).body == changed.body
    assert first.body == again.body
    assert len(changed.sets) == 11
    assert await metric(bench, 'appset_hub_checked_answers_total{how="read"}') == 2
    assert await metric(bench, 'appset_hub_checked_answers_total{how="not_modified"}') == 2


async def test_a_member_that_comes_back_has_not_lost_its_answer(bench: Bench) -> None:
    await bench.open(route={"wait_for_absent": "5s"})
    first = await bench.ask(TEN)
    bench.backend.cut()
    assert (await bench.ask()).body == first.body

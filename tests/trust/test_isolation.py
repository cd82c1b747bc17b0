"""A backend that hangs harms its own route only, and what the hub refuses by itself stays a refusal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc

from hub.service.breaker import DEFAULT_FAILURES as FAILURES
from hub.service.breaker import PROBE_EVERY_S
from tests.trust.hubs import until
from tests.trust.stub import Stub, fails, named
from tests.trust.test_sharing import metric

if TYPE_CHECKING:
    from tests.trust.bench import Bench
    from tests.trust.wire import Caller

TEN = named(*range(10))
ONE_AT_A_TIME = {"backend_in_flight": 1}


async def hang(bench: Bench, stack: AsyncExitStack, *names: str) -> list[Caller]:
    """Questions that the backend has and does not answer."""
    bench.says = None
    before = len(bench.backend.asked)
    callers = [await stack.enter_async_context(bench.site.caller()) for _ in names]
    for caller, name in zip(callers, names, strict=True):
        await caller.write(caller.question(name, {}))
    await until(lambda: len(bench.backend.asked) == before + len(names), "the backend has them")
    return callers


def route(name: str, backend: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "application_sets": [f"{name}-*"], "backends": [backend], **more}


async def test_a_stuck_route_leaves_room_for_its_neighbours(bench: Bench) -> None:
    site = bench.site
    await bench.open(
        routes=[route("r", "b"), route("well", "w")],
        backends={"b": {}, "w": {}},
        clients=[{"name": "argocd", "tokens": site.token("argocd"), "max_in_flight": 8}],
    )
    await bench.attach(Stub("w", lambda _: TEN))
    async with AsyncExitStack() as stack:
        await hang(bench, stack, *(f"r-{number}" for number in range(4)))
        refused = [await bench.ask(name=f"r-{number}") for number in range(4, 8)]
        assert {(one.status, one.reason, one.headers["retry-after"]) for one in refused} == {(503, "route_busy", "5")}
        assert len({one.body for one in refused}) == 1
        assert (await bench.ask(name="well-1")).status == 200
        assert await metric(bench, 'appset_hub_route_requests_in_flight{route="r"}') == 4
        assert await metric(bench, 'appset_hub_own_refusals_total{reason="route_busy",route="r"}') == 4


async def test_no_old_answer_stands_in_for_a_busy_backend(bench: Bench) -> None:
    stale = {"stale_if_error": {"max_age": "1h"}, "wait_for_busy": "0s"}
    await bench.open(route=stale, limits=ONE_AT_A_TIME)
    good = await bench.ask(TEN)
    async with AsyncExitStack() as stack:
        await hang(bench, stack, "r-hangs")
        busy = await bench.ask()
        assert (busy.status, busy.reason, busy.stale) == (503, "backend_busy", False)
        await bench.backend.stop()
        await bench.noticed_absence("b")
        assert (await bench.ask()).body == good.body, "for an absent backend it does"


async def test_first_does_not_go_on_when_a_member_is_busy(bench: Bench) -> None:
    spare = Stub("spare", lambda _: named("other"))
    first = {"backends": ["b", "spare"], "combine": "first", "wait_for_busy": "0s"}
    await bench.open(route=first, backends={"b": {}, "spare": {}}, limits=ONE_AT_A_TIME)
    await bench.attach(spare)
    await bench.ask(TEN)
    async with AsyncExitStack() as stack:
        await hang(bench, stack, "r-hangs")
        assert (await bench.ask()).reason == "backend_busy"
    assert spare.asked == []


async def test_one_client_leaves_room_for_another_on_the_same_route(bench: Bench) -> None:
    clients = [{"name": name, "tokens": bench.site.token(name)} for name in ("argocd", "other")]
    await bench.open(route={"max_in_flight": 8}, clients=clients)
    async with AsyncExitStack() as stack:
        await hang(bench, stack, *(f"r-{number}" for number in range(6)))
        refused = await bench.ask(name="r-6")
        assert (refused.status, refused.reason) == (429, "client_limit")
        bench.says = TEN
        async with bench.site.caller("other-token") as other:
            assert (await other.ask("r-one", {})).status == 200


async def broken(bench: Bench) -> None:
    """A backend that has failed so many questions in a row that those are spared."""
    await bench.open()
    bench.says = fails(grpc.StatusCode.UNKNOWN)
    for number in range(FAILURES):
        assert (await bench.ask(name=f"r-{number}")).reason == "backend_failed"
    asked = len(bench.backend.asked)
    assert (await bench.ask(name="r-0")).reason == "backend_failed"
    assert len(bench.backend.asked) == asked, "it was spared"


async def test_a_question_that_has_not_failed_is_asked_whatever_others_get(bench: Bench) -> None:
    await broken(bench)
    bench.says = TEN
    assert (await bench.ask(name="r-new")).status == 200
    assert (await bench.ask(name="r-0")).status == 200


async def test_a_backend_that_is_well_again_is_asked_again(bench: Bench) -> None:
    await broken(bench)
    bench.says = TEN

    await asyncio.sleep(PROBE_EVERY_S)
    assert (await bench.ask(name="r-0")).status == 200

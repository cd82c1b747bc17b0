"""Who is served next: a caller who asks a lot, or who does not take no for an answer, does not make the others wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest

from hub.core.errors import BackendFailed, ClientLimit, RouteBusy
from hub.core.routes import CLAIMED, Route
from hub.http.turns import PER_ROUND, Restraint, Turns
from hub.service.bulkhead import Bulkhead
from tests.support.http import post, served
from tests.support.service import route

WITHIN_S = 10.0


async def takes_turn(turns: Turns | Restraint, caller: str, order: list[str]) -> None:
    if not turns.at_once():
        await turns.wait(caller)
    order.append(caller)


async def test_in_a_round_of_the_loop_only_so_many_requests_begin() -> None:
    turns, order = Turns(), list[str]()
    tasks = [asyncio.create_task(takes_turn(turns, "greedy", order)) for _ in range(10 * PER_ROUND)]
    begun = [0]
    while len(order) < len(tasks):
        await asyncio.sleep(0)
        begun.append(len(order))
    assert max(after - before for before, after in pairwise(begun)) == PER_ROUND
    assert turns.waiting == 0


async def test_a_caller_with_one_request_does_not_wait_for_all_those_of_another() -> None:
    turns, order = Turns(), list[str]()
    tasks = [asyncio.create_task(takes_turn(turns, "greedy", order)) for _ in range(10 * PER_ROUND)]
    tasks.append(asyncio.create_task(takes_turn(turns, "modest", order)))
    await asyncio.gather(*tasks)
    assert order.index("modest") <= PER_ROUND + 1


async def test_one_who_has_left_takes_no_turn() -> None:
    turns, order = Turns(), list[str]()
    tasks = [asyncio.create_task(takes_turn(turns, "greedy", order)) for _ in range(4 * PER_ROUND)]
    await asyncio.sleep(0)
    for task in tasks[PER_ROUND : 3 * PER_ROUND]:
        task.cancel()
    # At once, before those who were cancelled have run.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert len(order) == 2 * PER_ROUND
    assert turns.waiting == 0
    await takes_turn(turns, "later", order)
    assert order[-1] == "later"


async def test_those_who_are_refused_ask_again_so_many_times_in_a_second_and_take_turns() -> None:
    loop = asyncio.get_running_loop()
    restraint, order, began_s = Restraint(100, loop.time), list[str](), loop.time()
    tasks = [asyncio.create_task(takes_turn(restraint, "greedy", order)) for _ in range(30)]
    tasks.append(asyncio.create_task(takes_turn(restraint, "modest", order)))
    await asyncio.gather(*tasks)
    assert loop.time() - began_s >= 0.2  # Ten at once, then 21 at a hundred a second.
    assert order[:10] == ["greedy"] * 10
    assert order.index("modest") <= 11
    assert restraint.waiting == 0


async def test_a_refused_caller_who_asks_again_and_again_is_answered_at_once_and_then_read_later() -> None:
    async with served(refusals_per_s=2) as server:
        greedy, honest = await server.wire(), await server.wire()
        wrong = post(token="not-a-token")
        assert (await greedy.ask(wrong)).reason == "token_wrong"
        # The reply to the second comes at once too; the third request has to wait for half a second.
        assert (await greedy.ask(wrong)).reason == "token_wrong"
        third = asyncio.create_task(greedy.ask(wrong))
        for _ in range(20):
            assert (await honest.ask(post())).status == 200
        assert not third.done()
        async with asyncio.timeout(WITHIN_S):
            assert (await third).reason == "token_wrong"


async def test_requests_that_were_sent_ahead_wait_too() -> None:
    async with served(refusals_per_s=2) as server:
        wire, began_s = await server.wire(), asyncio.get_running_loop().time()
        await wire.send(post(token="not-a-token") * 4)
        async with asyncio.timeout(WITHIN_S):
            for _ in range(4):
                assert (await wire.reply()).reason == "token_wrong"
        assert asyncio.get_running_loop().time() - began_s >= 0.9


async def test_a_connection_that_is_read_later_makes_room_and_does_not_delay_the_end() -> None:
    async with served(refusals_per_s=1, connections=1) as server:
        greedy = await server.wire()
        for _ in range(2):
            await greedy.ask(post(token="not-a-token"))
        honest = await server.wire()
        assert (await honest.ask(post())).status == 200
        async with asyncio.timeout(WITHIN_S):
            with suppress(ConnectionError):
                assert await greedy.reader.read() == b""
    async with served(refusals_per_s=1) as server:
        greedy = await server.wire()
        for _ in range(2):
            await greedy.ask(post(token="not-a-token"))
        async with asyncio.timeout(0.9):
            await server.http.stop(WITHIN_S)


async def test_what_is_refused_after_a_backend_was_asked_slows_nobody_down() -> None:
    async with served(refusals_per_s=1) as server:
        wire, loop = await server.wire(), asyncio.get_running_loop()
        server.execute.outcome = BackendFailed("failed")
        async with asyncio.timeout(4):
            for _ in range(10):
                assert (await wire.ask(post())).reason == "backend_failed"
        # But for what is the hub's own choice, as if the route were busy.
        server.execute.outcome = RouteBusy("busy")
        began_s = loop.time()
        for _ in range(3):
            await wire.ask(post())
        assert loop.time() - began_s >= 0.9


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (3, 3), (4, 3), (8, 6), (128, 96)])
def test_one_client_leaves_room_for_another_on_each_route(limit: int, most: int) -> None:
    bulkhead, one = Bulkhead(), route(max_in_flight=limit)
    bulkhead.has_several_clients = True
    taken = fill(bulkhead, one, "greedy")
    assert taken == most
    others = fill(bulkhead, one, "modest")
    assert others >= (1 if most < limit else 0)
    for client, count in (("greedy", taken), ("modest", others)):
        for _ in range(count):
            bulkhead.leave(one, client)
    assert dict(bulkhead.counts(CLAIMED)) == {CLAIMED: 0}


def test_a_client_that_has_most_of_a_route_is_told_so() -> None:
    bulkhead, one = Bulkhead(), route(max_in_flight=4)
    bulkhead.has_several_clients = True
    fill(bulkhead, one, "greedy")
    with pytest.raises(ClientLimit, match='client "greedy" has most of the 4 requests that route "r" may have'):
        bulkhead.enter(one, "greedy")


def test_the_only_client_has_a_route_to_itself() -> None:
    bulkhead, one = Bulkhead(), route(max_in_flight=4)
    assert fill(bulkhead, one, "argocd") == 4
    with pytest.raises(RouteBusy):
        bulkhead.enter(one, "argocd")


def fill(bulkhead: Bulkhead, one: Route, client: str) -> int:
    """Enter as often as possible; returns how often."""
    count = 0
    with suppress(ClientLimit, RouteBusy):
        while True:
            bulkhead.enter(one, client)
            count += 1
    return count

"""How old an answer may be that is shared with an equal question, or given again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hub.core.errors import AnswerHeld, BackendFailed, DeadlinePassed
from hub.core.events import AnswerHeldBack
from hub.core.guard import GuardPolicy
from hub.core.routes import Freshness, Trust
from hub.service import records
from hub.service.flights import MAX_SIDE_BY_SIDE, Caller, Flights, NeverBegan
from hub.service.ports import Broken
from tests.support.fakes import FakeLink, FakeStore, Gate, Says, never, sets
from tests.support.service import NOBODY, Service, route
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.service.ports import Change, RawAnswer

GUARDED = Trust(guard=GuardPolicy(max_drop=0.5, min_sets=5))


def numbered(count: int) -> RawAnswer:
    return sets(*({"n": str(number)} for number in range(count)))


class Held:
    """A behaviour that holds each ask until the test answers it, by its number."""

    def __init__(self) -> None:
        self.asks: list[asyncio.Future[RawAnswer]] = []
        self.cancelled: list[int] = []

    async def __call__(self, _ask: Any, _deadline: Any) -> RawAnswer:
        number = len(self.asks)
        answer: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        self.asks.append(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    def say(self, number: int, answer: RawAnswer | Exception) -> None:
        if isinstance(answer, Exception):
            self.asks[number].set_exception(answer)
        else:
            self.asks[number].set_result(answer)


async def held_hub(**more: Any) -> tuple[Service, Held]:
    hub, held = Service(route(**more)), Held()
    await hub.attach(FakeLink("one", held))
    return hub, held


async def asking_every(hub: Service, pause_s: float, count: int) -> Sequence[asyncio.Task[list[Any]]]:
    tasks = []
    for _ in range(count):
        tasks.append(hub.asking())
        await after(pause_s)
    return tasks


@on_virtual_time
async def test_a_question_joins_an_ask_that_began_a_moment_ago_and_no_older_one() -> None:
    hub, held = await held_hub()
    first = hub.asking()
    await after(0.9)
    second = hub.asking()
    await after(0.2)
    third = hub.asking()
    await all_has_run()
    assert len(held.asks) == 2
    held.say(0, sets({"a": "old"}))
    assert [await first, await second] == [[{"a": "old"}]] * 2
    held.say(1, sets({"a": "new"}))
    assert await third == [{"a": "new"}]


@on_virtual_time
async def test_the_bound_is_a_setting_of_the_route() -> None:
    hub, held = await held_hub(share_within_s=10.0)
    asking = await asking_every(hub, 2.0, 5)
    assert len(held.asks) == 1
    held.say(0, sets({"a": 1}))
    assert await asyncio.gather(*asking) == [[{"a": 1}]] * 5

    hub, held = await held_hub(share_within_s=0.0)
    asking = [hub.asking(), hub.asking()]
    await all_has_run()
    assert len(held.asks) == 2
    held.say(1, sets({"a": 1}))
    assert await asyncio.gather(*asking) == [[{"a": 1}]] * 2


@on_virtual_time
async def test_an_ask_that_began_later_answers_all_that_asked_before_and_ends_their_asks() -> None:
    hub, held = await held_hub()
    asking = [*await asking_every(hub, 0.5, 2), *await asking_every(hub, 1.5, 2)]
    assert len(held.asks) == 3
    held.say(1, sets({"a": "newer"}))
    assert await asyncio.gather(*asking[:3]) == [[{"a": "newer"}]] * 3
    assert held.cancelled == [0]
    assert not asking[3].done(), "it asked later than that"
    held.say(2, sets({"a": "newest"}))
    assert await asking[3] == [{"a": "newest"}]


@on_virtual_time
async def test_an_overtaken_ask_ends_at_all_its_members_and_its_caller_may_go_on() -> None:
    hub, images, owners = Service(route("r", "images", "owners")), Held(), Held()
    await hub.attach(FakeLink("i", images), "images")
    await hub.attach(FakeLink("o", owners), "owners")
    left: list[int] = []

    async def goes_on() -> list[Any]:
        """A connection: its one task answers a question, and then the next."""
        task = asyncio.current_task()
        assert task is not None
        request = hub.request()
        request.caller = Caller(task.cancel)
        answer = await hub.execute(request)
        left.append(task.cancelling())
        await after(1.0)
        return [answer.count]

    first = asyncio.ensure_future(goes_on())
    await after(1.5)
    second = hub.asking()
    await all_has_run()
    images.say(0, sets({"a": "old"}))
    images.say(1, sets({"a": "new"}))
    owners.say(1, sets({"b": "new"}))
    assert await second == [{"a": "new"}, {"b": "new"}]
    assert (await first, left) == ([2], [0])
    assert (images.cancelled, owners.cancelled) == ([], [0])


@on_virtual_time
async def test_an_ask_that_began_later_and_fails_leaves_those_before_it_alone() -> None:
    hub, held = await held_hub()
    first, second = await asking_every(hub, 1.5, 2)
    held.say(1, Broken("x"))
    with pytest.raises(BackendFailed):
        await second
    held.say(0, sets({"a": 1}))
    assert await first == [{"a": 1}]


@on_virtual_time
async def test_no_more_than_a_few_asks_of_one_question_run_side_by_side_and_the_rest_shares_the_next() -> None:
    hub, held = await held_hub(deadline_s=25.0)
    asking = await asking_every(hub, 1.5, MAX_SIDE_BY_SIDE + 3)
    assert len(held.asks) == MAX_SIDE_BY_SIDE
    held.say(0, sets({"a": "first"}))
    assert await asking[0] == [{"a": "first"}]
    await all_has_run()
    assert len(held.asks) == MAX_SIDE_BY_SIDE + 1
    held.say(MAX_SIDE_BY_SIDE, sets({"a": "next"}))
    assert await asyncio.gather(*asking[1:]) == [[{"a": "next"}]] * (MAX_SIDE_BY_SIDE + 2)
    assert len(held.asks) == MAX_SIDE_BY_SIDE + 1


@on_virtual_time
async def test_a_question_whose_ask_could_not_begin_ends_with_its_deadline() -> None:
    hub, _ = await held_hub(deadline_s=5.0, share_within_s=0.0)
    asking = [hub.asking() for _ in range(MAX_SIDE_BY_SIDE)]
    await after(1.0)
    asking[0].cancel()
    again = hub.asking()  # In its place, and until a second after the others.
    await after(1.0)
    late = asyncio.ensure_future(hub.refusal())
    began_s = now_s()
    for task in (*asking[1:], again):
        with pytest.raises(DeadlinePassed, match=r"^backend"):
            await task
    error = await late
    assert isinstance(error, DeadlinePassed)
    assert now_s() - began_s == pytest.approx(5.0)


@on_virtual_time
async def test_who_waits_for_an_ask_to_begin_may_hang_up() -> None:
    hub, held = await held_hub(share_within_s=0.0)
    asking = [hub.asking() for _ in range(MAX_SIDE_BY_SIDE + 1)]
    await all_has_run()
    asking[-1].cancel()
    await asyncio.wait([asking[-1]])
    held.say(MAX_SIDE_BY_SIDE - 1, sets({"a": 1}))
    assert await asyncio.gather(*asking[:-1]) == [[{"a": 1}]] * MAX_SIDE_BY_SIDE
    assert len(held.asks) == MAX_SIDE_BY_SIDE


@on_virtual_time
async def test_a_wait_for_an_ask_to_begin_ends_in_time() -> None:
    flights: Flights[str] = Flights(asyncio.get_running_loop().time)

    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    leads = [
        asyncio.ensure_future(flights.join("key", Caller(bool), hang, within_s=0.0)) for _ in range(MAX_SIDE_BY_SIDE)
    ]
    await all_has_run()
    began_s = now_s()
    with pytest.raises(NeverBegan):
        await flights.join("key", NOBODY, hang, within_s=0.0, until_s=began_s + 2.0)
    assert now_s() - began_s == pytest.approx(2.0)
    assert flights.count == MAX_SIDE_BY_SIDE
    for lead in leads:
        lead.cancel()
    await asyncio.wait(leads)
    assert flights.count == 0


@on_virtual_time
async def test_the_first_of_an_overtaken_ask_who_has_hung_up_is_not_answered() -> None:
    hub, held = await held_hub()
    first = hub.asking()
    await after(0.5)
    shares = hub.asking()
    await all_has_run()
    first.cancel()
    await after(1.0)
    later = hub.asking()
    await all_has_run()
    held.say(1, sets({"a": "newer"}))
    assert [await shares, await later] == [[{"a": "newer"}]] * 2
    assert first.cancelled()
    assert held.cancelled == [0]


@on_virtual_time
async def test_an_answer_that_equals_one_before_the_last_accepted_is_reviewed_again() -> None:
    hub, held = await held_hub(trust=GUARDED)
    asking = hub.asking()
    await all_has_run()
    held.say(0, numbered(10))
    assert len(await asking) == 10
    earlier, later = await asking_every(hub, 1.5, 2)
    held.say(1, numbered(30))
    assert len(await earlier) == 30
    held.say(2, numbered(10))
    with pytest.raises(AnswerHeld, match="20 of 30 parameter sets are missing"):
        await later


class SlowToKeep(FakeStore):
    """Takes its time to write down last good answers, while ``hold`` is there."""

    hold: asyncio.Event | None = None

    async def apply(self, changes: Sequence[Change]) -> None:
        hold = self.hold
        if hold is not None and any(one.kind == records.LAST_GOOD for one in changes):
            await hold.wait()
        await super().apply(changes)


@pytest.mark.parametrize("first", ["the older ask", "the newer ask"])
@on_virtual_time
async def test_two_answers_to_one_question_are_accepted_one_after_the_other(first: str) -> None:
    store = SlowToKeep()
    hub = Service(route(trust=msgspec.structs.replace(GUARDED, stale_max_age_s=1000.0)), store=store)
    held = Held()
    await hub.attach(FakeLink("one", held))
    asking = hub.asking()
    await all_has_run()
    held.say(0, numbered(10))
    await asking
    earlier, later = await asking_every(hub, 1.5, 2)
    store.hold = hold = asyncio.Event()
    if first == "the older ask":
        held.say(1, numbered(30))
        await all_has_run()
        held.say(2, numbered(10))
        await all_has_run()
        hold.set()
        assert len(await earlier) == 30
        assert len(await later) == 30, "10 of 30 are held, and the last good answer stands in"
        (event,) = hub.events.of(AnswerHeldBack)
        assert (event.went, event.before) == (20, 30)
    else:
        held.say(2, numbered(11))
        await all_has_run()
        held.say(1, numbered(30))
        await all_has_run()
        hold.set()
        assert len(await later) == 11
        assert len(await earlier) == 11, "30 was never accepted"
        (history,) = await hub.guard.history("fb-1")
        assert [change.sets for change in history.changes] == [10, 11]


@on_virtual_time
async def test_an_answer_is_fresh_from_when_it_was_asked_for_not_from_when_it_came() -> None:
    hub = Service(route(trust=Trust(guard=GuardPolicy(mode="off"), freshness=Freshness(max_s=60.0))))
    gate = Gate(msgspec.structs.replace(sets({"a": 1}), fresh_for_s=30.0))
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = hub.asking()
    await after(20.0)
    gate.open_one()
    await asking
    await after(9.0)
    assert await hub.ask() == [{"a": 1}]
    assert len(link.asks) == 1
    await after(2.0)
    link.behaviour = Says(sets({"a": 2}))
    assert await hub.ask() == [{"a": 2}]


@on_virtual_time
async def test_an_answer_that_took_longer_than_it_is_fresh_is_not_given_again() -> None:
    hub = Service(route(trust=Trust(guard=GuardPolicy(mode="off"), freshness=Freshness(fresh_s=5.0))))
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = hub.asking()
    await after(6.0)
    gate.open_one()
    await asking
    link.behaviour = never
    again = hub.asking()
    await all_has_run()
    assert len(link.asks) == 2
    again.cancel()
    await asyncio.wait([again])

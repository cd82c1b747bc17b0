"""A route or backend that hangs: its neighbours go on, nobody waits in vain, and nothing stands in for a refusal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hub.core.combine import First
from hub.core.errors import BackendAbsent, BackendBusy, DeadlinePassed, HubError, RouteBusy, leaves
from hub.core.events import AnswerStale
from hub.core.guard import GuardPolicy
from hub.core.routes import CLAIMED, Route, Trust
from hub.service import lastgood
from tests.support.fakes import FakeLink, Gate, Says, never, sets
from tests.support.service import NO_GUARD, Service, route
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from hub.core.directory import Instance
    from hub.service.ports import Link

STALE = Trust(guard=GuardPolicy(mode="off"), stale_max_age_s=100.0)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def refused_at_once(hub: Service, *args: Any, **more: Any) -> HubError:
    began_s = now_s()
    error = await hub.refusal(*args, **more)
    assert now_s() == began_s
    return error


@on_virtual_time
async def test_a_route_at_its_limit_is_refused_at_once_and_its_neighbour_is_answered() -> None:
    hub = Service(
        route("stuck", "images", application_sets=("a-*",), max_in_flight=3),
        route("well", "owners", application_sets=("b-*",), max_in_flight=3),
    )
    await hub.attach(FakeLink("i", never), "images")
    await hub.attach(FakeLink("o"), "owners")
    hanging = [hub.asking(f"a-{number}") for number in range(3)]
    await all_has_run()
    error = await refused_at_once(hub, "a-3")
    assert (type(error), error.status, error.retry_after_s) == (RouteBusy, 503, 5)
    assert str(error) == (
        'route "stuck" is at its limit of 3 requests in flight; Applications are left unchanged. Find out why its '
        "backends are slow, or raise max_in_flight"
    )
    assert str(await hub.refusal("a-4")) == str(error)
    assert await hub.ask("b-1") == [{"from": "o"}]
    assert dict(hub.bulkhead.counts(CLAIMED)) == {"stuck": 3, CLAIMED: 0}
    await cancel(*hanging)
    assert dict(hub.bulkhead.counts(CLAIMED)) == {CLAIMED: 0}


@on_virtual_time
async def test_a_request_that_ends_in_any_way_leaves_its_route() -> None:
    hub = Service(route(max_in_flight=1, deadline_s=1.0))
    link = FakeLink("one", Says(ValueError("a defect")))
    await hub.attach(link)
    with pytest.raises(ValueError, match="a defect"):
        await hub.ask()
    link.behaviour = never
    assert isinstance(await hub.refusal(), DeadlinePassed)
    asking = hub.asking()
    await all_has_run()
    await cancel(asking)
    link.behaviour = None
    assert await hub.ask() == [{"from": "one"}]


@on_virtual_time
async def test_names_of_claims_have_a_limit_for_each_set_of_backends() -> None:
    hub = Service()
    hub.routing.set_routes((), claimed=Route(name=CLAIMED, members=(), trust=NO_GUARD, max_in_flight=1))
    await hub.attach(FakeLink("i", never), "images", "a-*", "c-*")
    await hub.attach(FakeLink("o"), "owners", "b-*", "c-*")
    hanging = hub.asking("a-1")
    await all_has_run()
    error = await refused_at_once(hub, "a-2")
    assert str(error).startswith('the route of backend "images" is at its limit of 1 requests in flight; ')
    assert await hub.ask("b-1") == [{"from": "o"}]
    both = hub.asking("c-1")
    await all_has_run()
    assert str(await hub.refusal("c-2")).startswith('the route of backends "images", "owners" is at its limit of 1 ')
    assert dict(hub.bulkhead.counts(CLAIMED)) == {CLAIMED: 2}
    await cancel(hanging, both)


@on_virtual_time
async def test_a_fresh_answer_needs_no_room_on_its_route() -> None:
    hub = Service(route(max_in_flight=1))
    link = FakeLink("one", Says(msgspec.structs.replace(sets({"a": 1}), fresh_for_s=60.0)))
    await hub.attach(link)
    assert await hub.ask("fb-1") == [{"a": 1}]
    link.behaviour = never
    hanging = hub.asking("fb-2")
    await all_has_run()
    assert await hub.ask("fb-1") == [{"a": 1}]
    assert isinstance(await hub.refusal("fb-3"), RouteBusy)
    await cancel(hanging)


async def busy_hub(*routes: Route) -> tuple[Service, Instance[Link], asyncio.Task[Any]]:
    """A hub whose backend "images" has one instance, which hangs on a question and takes no other."""
    hub = Service(*routes)
    instance = await hub.attach(FakeLink("i", never), "images", max_in_flight=1)
    hanging = hub.asking("hang")
    await all_has_run()
    return hub, instance, hanging


@on_virtual_time
async def test_a_backend_that_hangs_is_busy_after_a_bounded_wait_and_then_at_once() -> None:
    hub, _, hanging = await busy_hub(route(wait_for_busy_s=3.0))
    began_s = now_s()
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    assert now_s() - began_s == pytest.approx(3.0)
    assert isinstance(await refused_at_once(hub, "fb-2"), BackendBusy)
    await cancel(hanging)


@on_virtual_time
async def test_once_a_question_of_a_busy_backend_ends_it_is_waited_for_again() -> None:
    hub, instance, hanging = await busy_hub(route(wait_for_busy_s=3.0))
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    await cancel(hanging)
    assert isinstance(instance.link, FakeLink)
    instance.link.behaviour = None
    assert await hub.ask("fb-2") == [{"from": "i"}]
    instance.in_flight += 1
    began_s = now_s()
    assert isinstance(await hub.refusal("fb-3"), BackendBusy)
    assert now_s() - began_s == pytest.approx(3.0)


@on_virtual_time
async def test_a_new_instance_of_a_busy_backend_is_asked_at_once() -> None:
    hub, _, hanging = await busy_hub(route(wait_for_busy_s=3.0))
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    new = await hub.attach(FakeLink("new", never), "images", max_in_flight=1)
    more = hub.asking("fb-2")
    await all_has_run()
    assert new.in_flight == 1
    began_s = now_s()
    assert isinstance(await hub.refusal("fb-3"), BackendBusy)
    assert now_s() - began_s == pytest.approx(3.0), "what was known of the other instance says nothing of this one"
    await cancel(hanging, more)


@on_virtual_time
async def test_a_queue_that_moves_is_waited_for_until_the_deadline() -> None:
    hub = Service(route(wait_for_busy_s=3.0, deadline_s=25.0))
    gate = Gate()
    await hub.attach(FakeLink("one", gate), max_in_flight=1)
    asking = [hub.asking(f"fb-{number}") for number in range(6)]
    for _ in range(6):
        await after(2.5)
        gate.open_one()
    assert await asyncio.gather(*asking) == [[{"a": "1"}]] * 6


@on_virtual_time
async def test_the_deadline_ends_the_wait_for_a_busy_backend_too() -> None:
    hub, _, hanging = await busy_hub(route(wait_for_busy_s=30.0, deadline_s=5.0, application_sets=("*",)))
    began_s = now_s()
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    assert 4.5 < now_s() - began_s < 5.0
    await cancel(hanging)


@on_virtual_time
async def test_a_route_without_patience_does_not_take_it_from_another() -> None:
    hub, instance, hanging = await busy_hub(
        route("hasty", application_sets=("a-*",), wait_for_busy_s=0.0), route("patient", wait_for_busy_s=3.0)
    )
    assert isinstance(await refused_at_once(hub, "a-1"), BackendBusy)
    assert isinstance(instance.link, FakeLink)
    instance.link.behaviour = None
    waits = hub.asking("fb-1")
    await after(1.0)
    await cancel(hanging)
    assert await waits == [{"from": "i"}]


@on_virtual_time
async def test_a_busy_backend_that_goes_away_is_absent() -> None:
    hub, instance, hanging = await busy_hub(route(wait_for_busy_s=3.0, wait_for_absent_s=0.0))
    waits = asyncio.ensure_future(hub.refusal("fb-1"))
    await after(1.0)
    hub.lose(instance)
    assert isinstance(await waits, BackendAbsent)
    await cancel(hanging)


@on_virtual_time
async def test_first_asks_nobody_instead_of_a_busy_member() -> None:
    hub, instance, hanging = await busy_hub(route("r", "images", "owners", combine=First(), wait_for_busy_s=0.0))
    spare = FakeLink("o", Says(sets({"b": 1})))
    await hub.attach(spare, "owners")
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    assert spare.asks == []
    await cancel(hanging)
    hub.lose(instance)
    assert await hub.ask("fb-1") == [{"b": 1}], "an absent member has failed"


@on_virtual_time
async def test_no_old_answer_stands_in_for_a_busy_backend_or_a_full_route() -> None:
    hub = Service(route(trust=STALE, wait_for_busy_s=0.0, max_in_flight=2))
    instance = await hub.attach(FakeLink("one"), max_in_flight=1)
    assert await hub.ask("fb-1") == [{"from": "one"}]
    assert isinstance(instance.link, FakeLink)
    instance.link.behaviour = never
    hanging = [hub.asking("fb-2"), hub.asking("fb-2")]
    await all_has_run()
    assert isinstance(await hub.refusal("fb-1"), RouteBusy)
    await cancel(hanging.pop())
    assert isinstance(await hub.refusal("fb-1"), BackendBusy)
    assert hub.events.of(AnswerStale) == []
    await cancel(*hanging)
    hub.lose(instance)
    assert await hub.ask("fb-1") == [{"from": "one"}], "an absent backend is another matter"


def test_what_the_hub_itself_refuses_is_never_replaced() -> None:
    own = [leaf for leaf in leaves() if leaf.is_own]
    assert {leaf.reason for leaf in own} == {"backend_busy", "route_busy", "shedding", "draining", "client_limit"}
    assert [leaf for leaf in own if issubclass(leaf, lastgood._REPLACEABLE)] == []  # noqa: SLF001 - the list itself.


@on_virtual_time
async def test_old_answers_of_hubs_that_did_not_know_these_limits_stay_usable() -> None:
    old, new = route(trust=STALE), route(trust=STALE, wait_for_busy_s=1.0, max_in_flight=7, share_within_s=0.0)
    hub = Service(old)
    instance = await hub.attach(FakeLink("one"))
    await hub.ask()
    hub.lose(instance)
    hub.set_routes(new)
    assert await hub.ask() == [{"from": "one"}]

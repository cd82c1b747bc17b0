"""What becomes of the addresses behind the name of a dialled backend."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.directory import Grant
from hub.core.errors import BackendAbsent, BackendUnresponsive
from hub.core.events import (
    AddressesChanged,
    AskRetried,
    InstanceJoined,
    InstanceLeft,
    InstanceUnresponsive,
    NameResolved,
    NameUnresolved,
)
from hub.service.names import FollowedNames
from hub.service.ports import Ask, RawAnswer, Unresponsive
from tests.support.fakes import FakeResolver, Gate
from tests.support.service import Service, info, route
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from hub.core.deadline import Deadline

NAME = "images.svc:50051"
ONE, TWO, THREE = (f"10.0.0.{number}:50051" for number in (1, 2, 3))
GRANTS = (Grant(backend="images", application_sets=("*",), configured_address=NAME),)
REGISTERING = (Grant(backend="images", application_sets=("*",), addresses=("*.svc:50051",), expected=False),)


async def once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


@asynccontextmanager
async def dialling(
    *addresses: str, grants: tuple[Grant, ...] = GRANTS, **limits: Any
) -> AsyncIterator[tuple[Service, FakeResolver]]:
    """A hub with one backend whose name has these addresses; those that are known at the start can be reached."""
    resolver = FakeResolver({NAME: addresses} if addresses else {})
    async with FollowedNames(resolver, now_s, every_s=30.0, keep=once) as names:
        hub = Service(route(), grants=grants, names=names, **limits)
        hub.membership.configure(grants)
        await all_has_run()
        for address in hub.dialler.links:
            hub.dialler.reach(address)
        yield hub, resolver


def shown(hub: Service) -> dict[str, str]:
    """Each instance of the backend with its state."""
    (backend,) = hub.overview.backends()
    return {one.instance: one.state for one in backend.instances}


@on_virtual_time
async def test_each_address_behind_a_name_is_an_instance() -> None:
    async with dialling(ONE, TWO) as (hub, _):
        assert shown(hub) == {f"{NAME} ({ONE})": "ready", f"{NAME} ({TWO})": "ready"}
        (backend,) = hub.overview.backends()
        assert [(one.address, one.endpoint) for one in backend.instances] == [(NAME, ONE), (NAME, TWO)]
        gate = Gate()
        hub.dialler.links[ONE].behaviour = gate
        asking = hub.asking("fb-1")
        await gate.arrived.wait()
        assert await hub.ask("fb-2") == [{"from": TWO}], "the one with fewer questions"
        gate.open_one()
        await asking


@on_virtual_time
async def test_an_address_that_is_added_is_used_within_thirty_seconds() -> None:
    async with dialling(ONE) as (hub, resolver):
        resolver.known[NAME] = (ONE, TWO)
        await after(30)
        hub.dialler.reach(TWO)
        assert set(shown(hub).values()) == {"ready"}
        assert len(shown(hub)) == 2
        changed = hub.events.of(AddressesChanged)[-1]
        assert (changed.backend, changed.name, changed.added, changed.removed) == ("images", NAME, (TWO,), ())


@on_virtual_time
async def test_an_address_that_takes_the_place_of_a_failed_one_is_used_within_two_seconds() -> None:
    async with dialling(ONE) as (hub, resolver):
        await after(10)
        hub.dialler.reach(ONE, yes=False)
        await after(0.5)
        resolver.known[NAME] = (TWO,)
        await after(1.2)
        hub.dialler.reach(TWO)
        assert shown(hub) == {f"{NAME} ({TWO})": "ready"}
        assert await hub.ask() == [{"from": TWO}]


@on_virtual_time
async def test_an_address_that_dns_no_longer_lists_finishes_what_it_has() -> None:
    async with dialling(ONE, TWO) as (hub, resolver):
        await after(20)
        gate = Gate()
        hub.dialler.links[ONE].behaviour = gate
        asking = hub.asking("fb-1")
        await gate.arrived.wait()
        resolver.known[NAME] = (TWO,)
        await after(12)
        assert hub.dialler.links[ONE].closed
        assert shown(hub) == {f"{NAME} ({TWO})": "ready"}
        gate.open_one()
        assert await asking == [{"a": "1"}]
        (left,) = hub.events.of(InstanceLeft)
        assert (left.instance, left.cause) == (f"{NAME} ({ONE})", "DNS no longer lists its address")


@on_virtual_time
async def test_an_old_address_that_works_is_asked_until_a_new_one_can_be() -> None:
    async with dialling(ONE) as (hub, resolver):
        resolver.known[NAME] = (TWO,)
        await after(30)
        assert await hub.ask("fb-1") == [{"from": ONE}]
        hub.dialler.reach(TWO)
        assert shown(hub) == {f"{NAME} ({TWO})": "ready"}
        assert hub.dialler.links[ONE].closed


@on_virtual_time
async def test_an_old_address_that_fails_is_not_connected_to_again() -> None:
    async with dialling(ONE) as (hub, resolver):
        resolver.known[NAME] = (TWO,)
        await after(30)
        hub.dialler.reach(ONE, yes=False)
        assert hub.dialler.links[ONE].closed, "by now it may belong to another backend"
        assert shown(hub) == {f"{NAME} ({TWO})": "absent"}


@on_virtual_time
async def test_an_old_address_that_is_listed_again_stays() -> None:
    async with dialling(ONE) as (hub, resolver):
        resolver.known[NAME] = (TWO,)
        await after(3)
        resolver.known[NAME] = (ONE, TWO)
        await after(2)
        hub.dialler.reach(TWO)
        assert not hub.dialler.links[ONE].closed
        assert set(shown(hub).values()) == {"ready"}


@on_virtual_time
async def test_a_name_that_no_longer_resolves_keeps_its_addresses_and_says_so() -> None:
    async with dialling(ONE, TWO) as (hub, resolver):
        del resolver.known[NAME]
        await after(120)
        assert set(shown(hub).values()) == {"ready"}
        assert await hub.ask() == [{"from": ONE}]
        failed = hub.events.of(NameUnresolved)
        assert (failed[0].backend, failed[0].name, failed[0].kept) == ("images", NAME, 2)
        assert [one.news for one in failed] == [True] + [False] * (len(failed) - 1)
        (backend,) = hub.overview.backends()
        assert {one.problem for one in backend.instances} == {f'cannot look up "{NAME}": Name or service not known'}
        resolver.known[NAME] = (ONE, TWO)
        await after(30)
        assert len(hub.events.of(NameResolved)) == 1
        (backend,) = hub.overview.backends()
        assert {one.problem for one in backend.instances} == {""}


@on_virtual_time
async def test_a_name_that_does_not_resolve_yet_is_an_absent_backend() -> None:
    async with dialling() as (hub, resolver):
        assert shown(hub) == {NAME: "absent"}
        assert isinstance(await hub.refusal(), BackendAbsent)
        resolver.known[NAME] = (ONE,)
        await after(2)
        hub.dialler.reach(ONE)
        assert shown(hub) == {f"{NAME} ({ONE})": "ready"}
        assert [one.instance for one in hub.events.of(InstanceJoined)] == [f"{NAME} ({ONE})"]
        assert hub.events.of(InstanceLeft) == []


@on_virtual_time
async def test_more_addresses_than_allowed_are_reported_and_those_in_use_stay() -> None:
    async with dialling(ONE, TWO, max_addresses=2) as (hub, resolver):
        resolver.known[NAME] = (THREE, TWO, ONE)
        await after(90)
        assert set(shown(hub)) == {f"{NAME} ({ONE})", f"{NAME} ({TWO})"}
        changed = hub.events.of(AddressesChanged)[1:]
        assert [one.ignored for one in changed] == [1], "once"


@on_virtual_time
async def test_many_addresses_are_connected_to_in_steps() -> None:
    many = tuple(f"10.0.1.{number}:50051" for number in range(60))
    async with dialling(*many) as (hub, _):
        assert len(shown(hub)) == 25
        await after(3)
        assert len(shown(hub)) == 60
        assert [one.ignored for one in hub.events.of(AddressesChanged)] == [0, 0, 0]


@on_virtual_time
async def test_a_registered_name_is_followed_until_its_lease_ends() -> None:
    async with dialling(ONE, TWO, grants=REGISTERING, lease_s=5.0) as (hub, _):
        expiring = asyncio.ensure_future(hub.membership.expire())
        await hub.membership.register(info("pod-1", "images", "fb-*"), NAME)
        await all_has_run()
        for address in (ONE, TWO):
            hub.dialler.reach(address)
        assert set(shown(hub)) == {f"pod-1 ({ONE})", f"pod-1 ({TWO})"}
        first = hub.dialler.links[ONE]
        await after(4)
        await hub.membership.register(info("pod-1", "images", "fb-*"), NAME)
        await after(4)
        assert hub.dialler.links[ONE] is first, "renewing dials nothing"
        await after(2)
        assert shown(hub) == {}
        assert first.closed
        expiring.cancel()


@on_virtual_time
async def test_a_stream_of_the_same_id_replaces_all_addresses_of_a_registered_name() -> None:
    async with dialling(ONE, TWO, grants=REGISTERING) as (hub, _):
        await hub.membership.register(info("pod-1"), NAME)
        await all_has_run()
        link = hub.dialler.links[TWO]
        await hub.attach(type(link)("pod-1"))
        assert shown(hub) == {"pod-1": "ready"}
        assert link.closed
        await hub.membership.register(info("pod-1"), NAME)
        await all_has_run()
        assert set(shown(hub)) == {f"pod-1 ({ONE})", f"pod-1 ({TWO})"}


@on_virtual_time
async def test_new_tls_dials_every_address_again() -> None:
    async with dialling(ONE, TWO) as (hub, _):
        before = dict(hub.dialler.links)
        hub.membership.redial({"images"})
        assert all(link.closed for link in before.values())
        for address in (ONE, TWO):
            assert hub.dialler.links[address] is not before[address]
            hub.dialler.reach(address)
        assert set(shown(hub).values()) == {"ready"}


@on_virtual_time
async def test_new_tls_leaves_what_dns_no_longer_lists_and_what_is_not_known() -> None:
    async with dialling(ONE) as (hub, resolver):
        resolver.known[NAME] = (TWO,)
        await after(3)
        hub.membership.redial({"images"})
        assert shown(hub) == {f"{NAME} ({TWO})": "absent"}
    async with dialling() as (hub, _):
        hub.membership.redial({"images"})
        assert shown(hub) == {NAME: "absent"}
        hub.membership.configure(())
        assert hub.events.of(InstanceLeft) == []


@on_virtual_time
async def test_the_addresses_of_a_registered_name_are_not_counted_as_instances() -> None:
    async with dialling(ONE, TWO, THREE, grants=REGISTERING, max_instances=2) as (hub, _):
        await hub.membership.register(info("pod-1"), NAME)
        await all_has_run()
        await hub.membership.register(info("pod-2"), NAME)
        await all_has_run()
        assert len(shown(hub)) == 6


def freezes(hub: Service, address: str) -> Callable[[Ask, Deadline], Any]:
    """A behaviour that hangs for a while, until its link finds that nothing answers any more."""

    async def behaviour(_ask: Ask, _deadline: Deadline) -> RawAnswer:
        await after(9)
        hub.dialler.observers[address].unresponsive()
        raise Unresponsive("it does not answer")

    return behaviour


@on_virtual_time
async def test_a_question_that_hangs_moves_to_another_instance() -> None:
    async with dialling(ONE, TWO) as (hub, _):
        hub.dialler.links[ONE].behaviour = freezes(hub, ONE)
        assert await hub.ask("fb-1") == [{"from": TWO}]
        assert [one.instance for one in hub.events.of(AskRetried)] == [f"{NAME} ({ONE})"]
        assert [one.instance for one in hub.events.of(InstanceUnresponsive)] == [f"{NAME} ({ONE})"]
        assert shown(hub) == {f"{NAME} ({ONE})": "unresponsive", f"{NAME} ({TWO})": "ready"}
        assert await hub.ask("fb-2") == [{"from": TWO}]
        hub.dialler.reach(ONE)
        assert set(shown(hub).values()) == {"ready"}


@on_virtual_time
async def test_a_question_that_hangs_on_the_only_instance_is_refused_at_once() -> None:
    async with dialling(ONE) as (hub, _):
        hub.dialler.links[ONE].behaviour = freezes(hub, ONE)
        began_s = now_s()
        error = await hub.refusal("fb-1")
        assert now_s() - began_s == pytest.approx(9)
        assert isinstance(error, BackendUnresponsive)
        assert (error.status, error.reason) == (503, "backend_unresponsive")
        assert str(error) == (
            'backend "images" answers neither questions nor health checks; Applications are left unchanged until it '
            "does. See its log, and restart it if it hangs"
        )
        assert str(await hub.refusal("fb-2")) == str(error), "the same fault, the same text"


@on_virtual_time
async def test_an_unresponsive_instance_makes_its_name_be_looked_up() -> None:
    async with dialling(ONE) as (hub, resolver):
        await after(10)
        resolver.known[NAME] = (TWO,)
        hub.dialler.observers[ONE].unresponsive()
        await after(1)
        hub.dialler.reach(TWO)
        assert shown(hub) == {f"{NAME} ({TWO})": "ready"}

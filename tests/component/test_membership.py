"""How backends come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hub.core.directory import MAX_PATTERNS, BackendInfo, Grant
from hub.core.errors import NobodyServes, StoreFailed, StoreNeeded
from hub.core.events import BackendForgotten, ClaimIgnored, InstanceJoined, InstanceLeft
from hub.core.registration import Malformed, NotGranted, NotNow, RegistrationError, TooMany
from hub.service.membership import CLAIMS, stored_claims
from tests.support.fakes import FakeEvents, FakeLink, FakeStore, Gate
from tests.support.service import GRANTS, Service, info, route
from tests.support.virtual import after, all_has_run, on_virtual_time

ADDRESS = "a.images.svc:50051"


def claims(hub: Service) -> dict[str, Any]:
    return {key: msgspec.json.decode(value) for (kind, key), value in hub.store.values.items() if kind == CLAIMS}


@on_virtual_time
async def test_a_claim_lasts_before_its_instance_is_taken() -> None:
    hub = Service()
    hub.store.gate = asyncio.Event()
    attaching = asyncio.ensure_future(hub.attach(FakeLink("one"), "images", "fb-*"))
    await all_has_run()
    assert hub.directory.instances("images") == []
    hub.store.gate.set()
    await attaching
    assert claims(hub) == {"images": ["fb-*"]}
    assert await hub.ask("fb-1") == [{"from": "one"}]


@on_virtual_time
async def test_when_the_store_fails_nothing_is_taken() -> None:
    hub = Service()
    hub.store.failing = True
    link = FakeLink("one")
    with pytest.raises(NotNow, match=r"^the hub's store cannot be written; nothing was registered$"):
        await hub.attach(link, "images", "fb-*")
    assert hub.directory.instances("images") == []
    assert hub.directory.registered_claim("images") == ()
    assert isinstance(await hub.refusal("fb-1"), NobodyServes)
    assert hub.events.of(InstanceJoined) == []


@on_virtual_time
async def test_a_claim_that_is_known_needs_no_store() -> None:
    hub = Service(claims={"images": ("fb-*",)})
    hub.store.failing = True
    await hub.attach(FakeLink("one"), "images", "fb-*")
    assert hub.store.applied == 0


@on_virtual_time
async def test_a_hub_that_starts_cold_waits_for_all_who_ever_claimed() -> None:
    store = FakeStore(values={"images": b'["fb-*"]', "owners": b'["fb-*"]'})
    hub = Service(store=store, claims=await stored_claims(store, FakeEvents()))
    hub.routing.claims_changed()
    await hub.attach(FakeLink("one"), "images", "fb-*")
    error = await hub.refusal("fb-1")
    assert (error.status, '"owners"' in str(error)) == (503, True)
    await hub.attach(FakeLink("two"), "owners", "fb-*")
    assert await hub.ask("fb-1") == [{"from": "one"}, {"from": "two"}]


@on_virtual_time
async def test_an_instance_that_claims_less_takes_nothing_away() -> None:
    hub = Service()
    hub.lose(await hub.attach(FakeLink("old"), "images", "fb-*", "shop"))
    await hub.attach(FakeLink("new"), "images", "fb-*")
    assert claims(hub) == {"images": ["fb-*", "shop"]}
    assert (await hub.refusal("shop")).status == 503
    assert await hub.ask("fb-1") == [{"from": "new"}]


@on_virtual_time
async def test_forgetting_takes_away_the_past_and_keeps_the_present() -> None:
    hub = Service(claims={"images": ("old-*", "fb-*")})
    hub.routing.claims_changed()
    await hub.attach(FakeLink("one"), "images", "fb-*")
    assert (await hub.membership.forget("images", "ada")).forgotten == ("old-*",)
    assert claims(hub) == {"images": ["fb-*"]}
    assert isinstance(await hub.refusal("old-1"), NobodyServes)
    assert await hub.ask("fb-1") == [{"from": "one"}]
    (event,) = hub.events.of(BackendForgotten)
    assert (event.backend, event.patterns, event.who) == ("images", ("old-*",), "ada")


@on_virtual_time
async def test_forgetting_an_absent_backend_takes_it_out_of_the_routes_of_claims() -> None:
    hub = Service(store=FakeStore(values={"images": b'["fb-*"]'}), claims={"images": ("fb-*",), "owners": ("fb-*",)})
    hub.routing.claims_changed()
    await hub.attach(FakeLink("o"), "owners", "fb-*")
    assert (await hub.refusal("fb-1")).status == 503
    await hub.membership.forget("images", "ada")
    assert claims(hub) == {}
    assert await hub.ask("fb-1") == [{"from": "o"}]


@on_virtual_time
async def test_forgetting_that_cannot_be_written_changes_nothing() -> None:
    hub = Service(claims={"images": ("fb-*",)})
    hub.store.failing = True
    with pytest.raises(StoreFailed):
        await hub.membership.forget("images", "ada")
    assert hub.directory.registered_claim("images") == ("fb-*",)
    assert hub.events.of(BackendForgotten) == []


@on_virtual_time
async def test_in_a_store_that_forgets_claims_do_not_meet() -> None:
    hub = Service(store=FakeStore(lasting=False))
    await hub.attach(FakeLink("i"), "images", "fb-*")
    assert await hub.ask("fb-1") == [{"from": "i"}]
    await hub.attach(FakeLink("o"), "owners", "fb-*")
    assert isinstance(await hub.refusal("fb-1"), StoreNeeded)


@on_virtual_time
async def test_claims_that_come_at_the_same_time_all_last() -> None:
    hub = Service()
    hub.store.gate = asyncio.Event()
    attaching = [
        asyncio.ensure_future(hub.attach(FakeLink(str(number)), "images", f"fb-{number}")) for number in range(5)
    ]
    await all_has_run()
    hub.store.gate.set()
    await asyncio.gather(*attaching)
    assert claims(hub) == {"images": [f"fb-{number}" for number in range(5)]}


@on_virtual_time
async def test_attaching_again_under_the_same_id_replaces_the_stream_before() -> None:
    hub = Service(route())
    gate = Gate()
    before, now = FakeLink("one", gate), FakeLink("one")
    replaced = await hub.attach(before)
    asking = hub.asking("fb-1")
    await gate.arrived.wait()
    await hub.attach(now)
    assert before.closed
    assert await hub.ask("fb-2") == [{"from": "one"}]
    gate.open_one()
    assert await asking == [{"a": "1"}]
    hub.membership.leave(replaced, "its stream ended")
    assert len(hub.directory.instances("images")) == 1
    (left,) = hub.events.of(InstanceLeft)
    assert left.cause == "replaced by a newer connection of the same instance"


@pytest.mark.parametrize(
    ("who", "error", "message"),
    [
        (info("one", "strangers"), NotGranted, 'the hub\'s configuration has no backend "strangers"'),
        (info("one", "Images"), Malformed, 'backend.name must be a DNS-1123 label, as in "image-digests"'),
        (info(""), Malformed, "backend.instance is empty; it must identify this process"),
        (
            info("one", input_schema_json=b"{}"),
            Malformed,
            "backend.input_schema_json cannot be used: it requires nothing",
        ),
    ],
    ids=["not configured", "a bad name", "no instance", "a schema that cannot be used"],
)
@on_virtual_time
async def test_who_is_not_what_the_contract_says_is_turned_away(
    who: BackendInfo, error: type[RegistrationError], message: str
) -> None:
    hub = Service()
    with pytest.raises(error) as refused:
        await hub.membership.attach(who, FakeLink())
    assert str(refused.value) == message
    assert list(hub.directory) == []


@on_virtual_time
async def test_a_backend_has_so_many_instances_and_no_more() -> None:
    hub = Service(max_instances=2)
    for name in ("one", "two", "one"):
        await hub.attach(FakeLink(name))
    with pytest.raises(TooMany, match=r'^backend "images" has 2 instances already$'):
        await hub.attach(FakeLink("three"))


@on_virtual_time
async def test_instances_that_come_at_the_same_time_keep_to_the_limit() -> None:
    hub = Service(max_instances=2)
    hub.store.gate = asyncio.Event()
    attaching = [
        asyncio.ensure_future(hub.attach(FakeLink(str(number)), "images", f"fb-{number}")) for number in range(5)
    ]
    await all_has_run()
    hub.store.gate.set()
    outcomes = await asyncio.gather(*attaching, return_exceptions=True)
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 3
    assert len(hub.directory.instances("images")) == 2


@on_virtual_time
async def test_a_backend_claims_so_many_patterns_and_no_more() -> None:
    known = tuple(f"old-{number}" for number in range(MAX_PATTERNS))
    hub = Service(claims={"images": known})
    await hub.attach(FakeLink("same"), "images", "old-1")
    with pytest.raises(TooMany, match="has claimed more than 1000 patterns; forget it first"):
        await hub.attach(FakeLink("one"), "images", "new")


@on_virtual_time
async def test_a_lease_is_dialled_and_serves_when_it_can_be_reached() -> None:
    hub = Service(route(), lease_s=15.0)
    assert await hub.membership.register(info("one", "images", "fb-*"), ADDRESS) == 15.0
    (instance,) = hub.directory.instances("images")
    assert (instance.state, instance.kind, instance.address) == ("absent", "registered", ADDRESS)
    asking = hub.asking()
    await all_has_run()
    assert not asking.done()
    hub.dialler.reach(ADDRESS)
    assert await asking == [{"from": ADDRESS}]
    (joined,) = hub.events.of(InstanceJoined)
    assert (joined.kind, joined.address) == ("registered", ADDRESS)


@on_virtual_time
async def test_a_dialled_instance_that_cannot_be_reached_is_absent_until_it_can() -> None:
    hub = Service(route(wait_for_absent_s=1.0))
    await hub.membership.register(info("one"), ADDRESS)
    hub.dialler.reach(ADDRESS)
    hub.dialler.reach(ADDRESS)
    hub.dialler.reach(ADDRESS, yes=False)
    hub.dialler.reach(ADDRESS, yes=False)
    assert (await hub.refusal()).reason == "backend_absent"
    hub.dialler.reach(ADDRESS)
    assert await hub.ask() == [{"from": ADDRESS}]
    assert [left.cause for left in hub.events.of(InstanceLeft)] == ["the connection broke"]
    assert len(hub.events.of(InstanceJoined)) == 2


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "a.owners.svc:50051",
            'register the address "a.owners.svc:50051": none of the patterns in its addresses matches',
        ),
        (
            "169.254.169.254:80",
            '"169.254.169.254:80": it is a link-local address, which its addresses must name, without a wildcard',
        ),
        ("", 'the hub cannot connect to the address "": expected "host:port"'),
        ("unix:/x\n", 'the hub cannot connect to the address "unix:/x\\n": it has a character that no address has'),
    ],
    ids=["another's", "link-local", "nothing", "a line break"],
)
@on_virtual_time
async def test_an_address_that_is_not_granted_is_never_dialled(address: str, words: str) -> None:
    hub = Service()
    with pytest.raises(RegistrationError) as refused:
        await hub.membership.register(info("one"), address)
    assert words in str(refused.value)
    assert hub.dialler.links == {}


@on_virtual_time
async def test_a_backend_that_is_not_configured_cannot_register() -> None:
    hub = Service()
    with pytest.raises(NotGranted, match='has no backend "strangers"'):
        await hub.membership.register(info("one", "strangers"), ADDRESS)


@on_virtual_time
async def test_a_lease_ends_unless_it_is_renewed() -> None:
    hub = Service(lease_s=15.0)
    expiring = asyncio.ensure_future(hub.membership.expire())
    await hub.membership.register(info("one"), ADDRESS)
    await hub.membership.register(info("two"), "b.images.svc:50051")
    link = hub.dialler.links[ADDRESS]
    loop = asyncio.get_running_loop()
    renewed = loop.create_future()
    loop.call_later(10.0, renewed.set_result, None)
    await renewed
    await hub.membership.register(info("two"), "b.images.svc:50051")
    left = await hub.events.first(InstanceLeft)
    assert (left.instance, left.cause) == ("one", "its lease expired")
    assert link.closed
    assert [one.info.instance for one in hub.directory.instances("images")] == ["two"]
    assert len(hub.dialler.links) == 2
    left = await hub.events.first(InstanceLeft, 2)
    assert left.instance == "two"
    expiring.cancel()
    await asyncio.wait([expiring])


@on_virtual_time
async def test_a_registration_that_says_something_else_is_dialled_anew() -> None:
    hub = Service()
    await hub.membership.register(info("one"), ADDRESS)
    before = hub.dialler.links[ADDRESS]
    await hub.membership.register(info("one", version="2"), ADDRESS)
    assert before.closed
    assert hub.dialler.links[ADDRESS] is not before
    await hub.membership.register(info("one", version="2"), "b.images.svc:50051")
    assert [one.address for one in hub.directory.instances("images")] == ["b.images.svc:50051"]


@on_virtual_time
async def test_deregistering_ends_a_lease_and_nothing_else() -> None:
    hub = Service()
    await hub.attach(FakeLink("attached"))
    await hub.membership.register(info("one"), ADDRESS)
    hub.membership.deregister("images", "attached")
    hub.membership.deregister("images", "unknown")
    hub.membership.deregister("images", "one")
    assert [one.info.instance for one in hub.directory.instances("images")] == ["attached"]
    assert hub.dialler.links[ADDRESS].closed
    assert [left.cause for left in hub.events.of(InstanceLeft)] == ["deregistered"]


@on_virtual_time
async def test_configured_addresses_are_dialled_and_left_when_they_go() -> None:
    legacy = Grant(backend="legacy", application_sets=("old-*",), configured_address="legacy:1")
    hub = Service(grants=(*GRANTS, legacy))
    hub.membership.configure([*GRANTS, legacy])
    hub.routing.claims_changed()
    first = hub.dialler.links["legacy:1"]
    hub.dialler.reach("legacy:1")
    assert await hub.ask("old-1") == [{"from": "legacy:1"}]
    hub.membership.configure([*GRANTS, legacy])
    assert hub.dialler.links["legacy:1"] is first
    hub.membership.configure([*GRANTS, msgspec.structs.replace(legacy, configured_address="legacy:2")])
    assert first.closed
    hub.dialler.reach("legacy:2")
    assert await hub.ask("old-2") == [{"from": "legacy:2"}]
    assert [left.cause for left in hub.events.of(InstanceLeft)] == ["its address was removed from the configuration"]


@on_virtual_time
async def test_who_has_to_be_dialled_anew_is_and_nobody_else() -> None:
    legacy = Grant(backend="legacy", configured_address="legacy:1")
    hub = Service(route("r", "images"), grants=(*GRANTS, legacy))
    hub.membership.configure([*GRANTS, legacy])
    attached = FakeLink("attached")
    await hub.attach(attached)
    await hub.membership.register(info("leased"), ADDRESS)
    hub.dialler.reach(ADDRESS)
    leased, configured = hub.dialler.links[ADDRESS], hub.dialler.links["legacy:1"]
    gate = Gate()
    leased.behaviour = attached.behaviour = gate
    asking = [hub.asking("fb-1"), hub.asking("fb-2")]
    await all_has_run()
    hub.membership.redial({"images"})
    assert (leased.closed, attached.closed, configured.closed) == (True, False, False)
    assert hub.dialler.links[ADDRESS] is not leased
    gate.open_one()
    gate.open_one()
    assert await asyncio.gather(*asking) == [[{"a": "1"}]] * 2
    hub.dialler.reach(ADDRESS)
    (instance,) = [one for one in hub.directory.instances("images") if one.kind == "registered"]
    assert instance.state == "ready"
    expiring = asyncio.ensure_future(hub.membership.expire())
    await after(14.9)
    assert hub.membership.holds_lease("images", "leased")
    await after(0.7)
    assert not hub.membership.holds_lease("images", "leased")
    expiring.cancel()


@on_virtual_time
async def test_instances_of_a_backend_that_is_no_longer_configured_leave() -> None:
    hub = Service()
    images, owners = FakeLink("i"), FakeLink("o")
    await hub.attach(images, "images")
    await hub.attach(owners, "owners")
    hub.membership.configure([GRANTS[0]])
    assert (images.closed, owners.closed) == (False, True)
    assert [one.info.name for one in hub.directory] == ["images"]
    assert hub.events.of(InstanceLeft)[0].cause == "removed from the configuration"


@on_virtual_time
async def test_a_hub_for_development_keeps_who_is_attached_over_a_reload() -> None:
    hub = Service(grants=(), others=lambda backend: Grant(backend=backend))
    link = FakeLink("one")
    await hub.attach(link, "anybody", "fb-*")
    hub.membership.configure([])
    hub.routing.claims_changed()
    assert not link.closed
    assert await hub.ask("fb-1") == [{"from": "one"}]


@on_virtual_time
async def test_an_instance_named_as_a_configured_address_does_not_end_its_dialling() -> None:
    legacy = Grant(backend="legacy", application_sets=("old-*",), configured_address="legacy:1")
    hub = Service(route("r", "legacy"), grants=(legacy,))
    hub.membership.configure([legacy])
    hub.dialler.reach("legacy:1")
    hub.lose(await hub.attach(FakeLink("legacy:1"), "legacy"))
    assert await hub.ask() == [{"from": "legacy:1"}]


@on_virtual_time
async def test_a_hub_that_closes_takes_nobody_and_lets_everybody_finish() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = hub.asking()
    await gate.arrived.wait()
    hub.membership.close()
    assert link.closed
    with pytest.raises(NotNow, match=r"^the hub is shutting down$"):
        await hub.attach(FakeLink("two"))
    with pytest.raises(NotNow):
        await hub.membership.register(info("three"), ADDRESS)
    gate.open_one()
    assert await asking == [{"a": "1"}]


@on_virtual_time
async def test_an_operator_sees_backends_routes_and_instances() -> None:
    hub = Service(route("previews", "images", "owners"), route("late", "owners", parameters=(("env", "p*"),)))
    await hub.attach(FakeLink("one"), "images", "fb-*", version="1.2", max_in_flight=7)
    images, owners = hub.overview.backends()
    assert (images.name, images.state, images.claimed, images.granted) == ("images", "ready", ("fb-*",), ("*",))
    assert (owners.name, owners.state, owners.claimed) == ("owners", "absent", ())
    assert (images.routes, owners.routes) == (("previews",), ("previews", "late"))
    (instance,) = images.instances
    assert (instance.instance, instance.kind, instance.state, instance.version) == ("one", "attached", "ready", "1.2")
    assert (instance.in_flight, instance.max_in_flight) == (0, 7)
    assert [(one.name, one.backends, one.combine) for one in hub.overview.routes()] == [
        ("previews", ("images", "owners"), "concat"), ("late", ("owners",), "concat"),
    ]  # fmt: skip
    assert hub.overview.routes()[1].parameters == {"env": "p*"}
    assert hub.overview.absent() == ["owners"]
    assert ("images", "ready", 1) in list(hub.overview.instances())


@on_virtual_time
async def test_an_operator_sees_where_a_name_goes_and_who_is_missing() -> None:
    hub = Service(route("previews", "images", "owners", application_sets=("fb-*",)), claims={"images": ("shop",)})
    await hub.attach(FakeLink("one"), "images", "other")
    found = await hub.overview.explain("fb-1", None, {})
    assert (found.route, found.backends, found.combine, found.absent, found.refusal) == (
        "previews", ("images", "owners"), "concat", ("owners",), "",
    )  # fmt: skip
    claimed = await hub.overview.explain("shop", None, {})
    assert (claimed.route, claimed.absent) == ("(claims)", ("images",))
    nobody = await hub.overview.explain("nobody", None, {})
    assert (nobody.route, nobody.backends, nobody.combine) == ("", (), "")
    assert nobody.refusal.startswith("no route and no backend serves")


@on_virtual_time
async def test_a_claim_outside_the_grant_is_told_with_what_is_granted() -> None:
    hub = Service(grants=(Grant(backend="images", application_sets=("fb-*",)),))
    await hub.attach(FakeLink("one"), "images", "fb-1", "x-*", "*")
    (told,) = hub.events.of(ClaimIgnored)
    assert told == ClaimIgnored(backend="images", patterns=("x-*",), granted=("fb-*",), instance="one")
    assert isinstance(await hub.refusal("x-1"), NobodyServes)


@on_virtual_time
async def test_a_claim_inside_the_grant_is_not_told() -> None:
    hub = Service(grants=(Grant(backend="images", application_sets=("fb-*",)),))
    await hub.attach(FakeLink("one"), "images", "fb-1", "*")
    assert hub.events.of(ClaimIgnored) == []


@on_virtual_time
async def test_a_grant_that_shrinks_tells_the_claims_that_count_no_longer_and_only_once() -> None:
    wide = Grant(backend="images", application_sets=("fb-*", "x-*"), addresses=("*",))
    narrow = Grant(backend="images", application_sets=("fb-*",), addresses=("*",))
    hub = Service(grants=(wide,))
    await hub.membership.register(info("one", "images", "fb-*", "x-*"), ADDRESS)
    assert hub.events.of(ClaimIgnored) == []
    for _ in range(2):
        hub.membership.configure([narrow])
    assert hub.events.of(ClaimIgnored) == [ClaimIgnored(backend="images", patterns=("x-*",), granted=("fb-*",))]


@on_virtual_time
async def test_a_lease_that_is_only_renewed_tells_nothing_again() -> None:
    hub = Service(grants=(Grant(backend="images", application_sets=("fb-*",), addresses=("*",)),))
    for _ in range(3):
        await hub.membership.register(info("one", "images", "x-*"), ADDRESS)
    assert len(hub.events.of(ClaimIgnored)) == 1

"""The first answer for a name waits for every backend that may serve it."""

from __future__ import annotations

import pytest

from hub.core.directory import Grant
from hub.core.errors import BackendNeverSeen, HubError, NobodyServes, StoreFailed
from hub.core.guard import GuardPolicy
from hub.core.routes import CLAIMED, Route, Trust
from tests.support.fakes import FakeLink, FakeStore
from tests.support.service import Service, info, route
from tests.support.virtual import on_virtual_time

ADDRESS = "a.owners.svc:50051"
IMAGES = Grant(backend="images", application_sets=("fb-*", "shop"))
OWNERS = Grant(backend="owners", application_sets=("fb-*",), addresses=(ADDRESS,))


def opened(*grants: Grant, store: FakeStore | None = None, routes: tuple[Route, ...] = ()) -> Service:
    """A hub whose claims are guarded, so that accepted answers leave baselines."""
    store = store or FakeStore()
    claimed = Route(name=CLAIMED, members=(), trust=Trust(guard=GuardPolicy()))
    hub = Service(grants=grants or (IMAGES, OWNERS), store=store)
    hub.routing.set_routes(routes, claimed=claimed)
    return hub


async def with_images(*grants: Grant, store: FakeStore | None = None, routes: tuple[Route, ...] = ()) -> Service:
    hub = opened(*grants, store=store, routes=routes)
    await hub.attach(FakeLink("images"), "images", "fb-*", "shop")
    return hub


async def reason(hub: Service, name: str = "fb-1") -> str:
    """The reason of a refusal, or nothing for an answer."""
    try:
        await hub.ask(name)
    except HubError as error:
        return error.reason
    return ""


@on_virtual_time
async def test_a_name_that_was_never_answered_waits_for_a_backend_that_has_never_connected() -> None:
    hub = await with_images()
    refused = await hub.refusal("fb-1")
    assert isinstance(refused, BackendNeverSeen)
    assert str(refused) == (
        'backend "owners" may serve this name and has never connected to the hub; Applications are left unchanged '
        "until then. To answer without: set expected: false in hub.yaml, or run: appset-hub backends forget owners"
    )
    assert await hub.ask("shop") == [{"from": "images"}], "the grant of the other does not cover it"


@pytest.mark.parametrize("how", ["attach", "register"])
@on_virtual_time
async def test_once_it_has_connected_its_claim_is_what_counts(how: str) -> None:
    hub = await with_images()
    if how == "attach":
        await hub.attach(FakeLink("owners"), "owners", "fb-1")
        assert await hub.ask("fb-1") == [{"from": "images"}, {"from": "owners"}]
    else:
        await hub.membership.register(info("one", "owners", "fb-1"), ADDRESS)
        assert await reason(hub) == "backend_absent"
    assert await hub.ask("fb-2") == [{"from": "images"}]


@on_virtual_time
async def test_one_that_connects_and_claims_nothing_has_been_seen_for_good() -> None:
    store = FakeStore()
    hub = await with_images(store=store)
    await hub.attach(FakeLink("owners"), "owners")
    assert await hub.ask("fb-1") == [{"from": "images"}]
    again = await with_images(store=store)
    assert await again.ask("fb-2") == [{"from": "images"}]


@on_virtual_time
async def test_a_name_with_a_baseline_is_not_affected_by_a_new_backend() -> None:
    store = FakeStore()
    before = await with_images(IMAGES, store=store)
    assert await before.ask("fb-1") == [{"from": "images"}]
    hub = await with_images(store=store)
    assert await hub.ask("fb-1") == [{"from": "images"}]
    assert await hub.ask("fb-1", {"another": "input"}) == [{"from": "images"}]
    assert await reason(hub, "fb-10") == await reason(hub, "fb-") == "backend_never_seen"


@on_virtual_time
async def test_a_baseline_is_looked_for_once_per_name() -> None:
    store = FakeStore()
    await (await with_images(IMAGES, store=store)).ask("fb-1")
    hub = await with_images(store=store)
    await hub.ask("fb-1")
    read = store.read
    for _ in range(5):
        await hub.ask("fb-1")
    assert store.read == read


@on_virtual_time
async def test_without_a_guard_there_is_no_baseline_so_every_name_waits() -> None:
    store = FakeStore()
    hub = Service(grants=(IMAGES,), store=store)
    await hub.attach(FakeLink("images"), "images", "fb-*")
    await hub.ask("fb-1")
    hub = Service(grants=(IMAGES, OWNERS), store=store)
    await hub.attach(FakeLink("images"), "images", "fb-*")
    assert await reason(hub) == "backend_never_seen"


@pytest.mark.parametrize(
    "other",
    [
        Grant(backend="owners", application_sets=("fb-*",), expected=False),
        Grant(backend="owners", application_sets=()),
        Grant(backend="owners", application_sets=("other-*",)),
    ],
    ids=["not expected", "no grant", "a grant on other names"],
)
@on_virtual_time
async def test_who_is_not_expected_or_may_not_claim_the_name_is_not_waited_for(other: Grant) -> None:
    hub = await with_images(IMAGES, other)
    assert await hub.ask("fb-1") == [{"from": "images"}]


@on_virtual_time
async def test_a_configured_route_has_its_members_and_waits_for_no_others() -> None:
    hub = await with_images(routes=(route("previews", "images", application_sets=("fb-*",)),))
    assert await hub.ask("fb-1") == [{"from": "images"}]


@on_virtual_time
async def test_a_name_without_any_claim_stays_a_404() -> None:
    assert isinstance(await opened().refusal("fb-1"), NobodyServes)


@on_virtual_time
async def test_an_operator_who_forgets_a_backend_that_never_connected_ends_the_wait_for_good() -> None:
    store = FakeStore()
    hub = await with_images(store=store)
    assert hub.overview.awaited() == ["owners"]
    forgotten = await hub.membership.forget("owners", "ada")
    assert (forgotten.forgotten, forgotten.never_seen) == ((), True)
    assert await hub.ask("fb-1") == [{"from": "images"}]
    again = await with_images(store=store)
    assert again.overview.awaited() == []
    assert await again.ask("fb-2") == [{"from": "images"}]
    assert not (await again.membership.forget("owners", "ada")).never_seen


@on_virtual_time
async def test_a_backend_that_the_configuration_adds_is_waited_for_at_once() -> None:
    hub = await with_images(IMAGES)
    hub.membership.configure([IMAGES, OWNERS])
    hub.routing.set_routes((), claimed=Route(name=CLAIMED, members=()))
    assert await reason(hub) == "backend_never_seen"


@on_virtual_time
async def test_a_store_that_fails_leaves_no_first_answer() -> None:
    hub = await with_images()
    hub.store.failing = True
    assert isinstance(await hub.refusal("fb-1"), StoreFailed)


@on_virtual_time
async def test_operators_see_who_is_waited_for() -> None:
    hub = await with_images()
    found = await hub.overview.explain("fb-1", None, {})
    assert found.backends == ("images",)
    assert found.refusal.startswith('backend "owners" may serve this name and has never connected')
    assert 'backend "owners" has never connected to this hub' in found.steps[-1]
    assert [one.name for one in hub.overview.backends() if one.awaited] == ["owners"]


@on_virtual_time
async def test_a_message_names_three_and_counts_the_others() -> None:
    names = [f"backend-{'x' * 50}-{number}" for number in range(5)]
    hub = await with_images(IMAGES, *(Grant(backend=name, application_sets=("fb-*",)) for name in names))
    said = str(await hub.refusal("fb-1"))
    assert f'backends "{names[0]}", "{names[1]}", "{names[2]}" and 2 more may serve this name and have never' in said
    assert len(said) < 480

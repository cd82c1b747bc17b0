"""Whether the store can be trusted."""

from __future__ import annotations

import asyncio
import json

import pytest

from hub.core.errors import StoreDamaged, StoreFailed, StoreLost, StoreUninitialised
from hub.core.events import StoreInitialised, StoreOpened, StoreTrouble, StoreUnusable, StoreUsable
from hub.main.tasks import stop
from hub.service.audit import AuditLog
from hub.service.keeping import StoreKeeper
from hub.service.membership import stored_claims
from hub.service.soundness import check
from tests.support.fakes import FakeEvents, FakeLink, FakeStore, Says, sets
from tests.support.service import Service, guarded_by_default, route
from tests.support.virtual import after, on_virtual_time

FEW = sets({"name": "1"})
MANY = sets(*({"name": str(number)} for number in range(10)))


class Kept:
    """A keeper of a store, opened."""

    def __init__(self, store: FakeStore, *, expect: bool) -> None:
        self.store, self.events = store, FakeEvents()
        clock = lambda: 1_800_000_000.0  # noqa: E731 - a clock is a function.
        self.audit = AuditLog(store, clock)
        self.keeper = StoreKeeper(
            store=store, events=self.events, clock=clock, audit=self.audit, new_id=lambda: "5707e",
            expect_initialised=expect,
        )  # fmt: skip


async def opened(store: FakeStore | None = None, *, expect: bool = True) -> Kept:
    kept = Kept(store or FakeStore(), expect=expect)
    await kept.keeper.open()
    return kept


@pytest.mark.parametrize("lasting", [True, False])
async def test_an_empty_store_is_initialised_and_that_is_said(*, lasting: bool) -> None:
    kept = await opened(FakeStore(lasting=lasting), expect=False)
    kept.keeper.check()
    assert kept.events.of(StoreInitialised) == [StoreInitialised(store_id="5707e", how="empty", lasting=lasting)]
    view = kept.keeper.view()
    assert (view.state, view.id, view.created_at_s, view.problem) == ("initialised", "5707e", 1_800_000_000.0, "")


async def test_an_initialised_store_is_opened() -> None:
    store = FakeStore()
    await opened(store, expect=False)
    again = await opened(store)
    again.keeper.check()
    assert again.events.all == [StoreOpened(store_id="5707e", created_at_s=1_800_000_000.0)]


async def test_an_empty_store_that_should_be_initialised_answers_nothing_until_an_operator_decides() -> None:
    kept = await opened()
    with pytest.raises(StoreUninitialised, match=r"accept an empty one: appset-hub store init$"):
        kept.keeper.check()
    (event,) = kept.events.of(StoreUnusable)
    assert event.reason == "store_uninitialised"
    assert kept.keeper.view().state == "uninitialised"
    found = await kept.keeper.init("ada")
    assert (found.changed, found.store.state) == (True, "initialised")
    kept.keeper.check()
    (entry,) = await kept.audit.entries()
    assert (entry.action, entry.who, entry.store_id) == ("init", "ada", "5707e")
    assert not (await kept.keeper.init("bob")).changed
    assert len(await kept.audit.entries()) == 1
    (await opened(kept.store)).keeper.check()


async def test_claims_alone_make_no_initialised_store() -> None:
    store = FakeStore(values={"images": b'["fb-*"]'})
    with pytest.raises(StoreUninitialised):
        (await opened(store)).keeper.check()


async def test_a_store_of_an_older_hub_is_adopted_by_its_baselines() -> None:
    store = FakeStore()
    store.values["baselines", "fb-1/00"] = b"{}"
    kept = await opened(store)
    kept.keeper.check()
    assert [event.how for event in kept.events.of(StoreInitialised)] == ["adopted"]


async def test_a_decision_that_cannot_be_written_is_none() -> None:
    kept = await opened()
    kept.store.failing = True
    with pytest.raises(StoreFailed):
        await kept.keeper.init("ada")
    with pytest.raises(StoreUninitialised):
        kept.keeper.check()


async def test_a_record_of_the_store_that_is_damaged_counts_as_none() -> None:
    store = FakeStore()
    store.values["meta", "store"] = b"{"
    kept = await opened(store)
    assert 'the record "meta" of "store"' in kept.events.of(StoreTrouble)[0].detail
    with pytest.raises(StoreUninitialised):
        kept.keeper.check()


async def test_a_store_that_is_lost_and_back_is_noticed_once_each() -> None:
    kept = await opened(expect=False)
    kept.store.lost = True
    for _ in range(3):
        await kept.keeper.look()
    with pytest.raises(StoreLost):
        kept.keeper.check()
    assert kept.keeper.view().state == "lost"
    kept.store.lost = False
    for _ in range(3):
        await kept.keeper.look()
    kept.keeper.check()
    assert [event.reason for event in kept.events.of(StoreUnusable)] == ["store_lost"]
    assert len(kept.events.of(StoreUsable)) == 1


@on_virtual_time
async def test_a_store_is_looked_at_often_enough_to_be_back_within_two_seconds() -> None:
    kept = await opened(expect=False)
    watching = asyncio.ensure_future(kept.keeper.watch())
    kept.store.lost = True
    await after(1.5)
    assert kept.keeper.view().state == "lost"
    kept.store.lost = False
    await after(1.5)
    assert len(kept.events.of(StoreUsable)) == 1
    await stop(watching)


@on_virtual_time
async def test_nothing_is_answered_from_a_store_that_is_not_initialised() -> None:
    hub = Service(route("previews"), initialised=False)
    link = FakeLink("one")
    await hub.attach(link)
    assert isinstance(await hub.refusal(), StoreUninitialised)
    assert link.asks == []


@pytest.mark.parametrize("kind", ["baselines", "baseline_changes", "history", "held"])
@on_virtual_time
async def test_a_damaged_record_fails_its_own_question_only_and_is_named(kind: str) -> None:
    hub = Service(guarded_by_default())
    await hub.attach(FakeLink("one", Says(MANY, FEW)))
    await hub.ask("fb-1")
    assert (await hub.refusal("fb-1")).reason == "answer_held"
    (key,) = (key for of, key in hub.store.values if of == "held")
    hub.store.values[kind, key] = b'{"damaged'
    again = Service(guarded_by_default(), store=hub.store)
    await again.guard.open()
    await again.attach(FakeLink("one", Says(MANY)))
    refused = await again.refusal("fb-1")
    assert isinstance(refused, StoreDamaged)
    assert str(refused).startswith(f'the record "{kind}" of "{key}" in the hub\'s store is damaged; ')
    assert len(str(refused)) < 512
    assert len(await again.ask("fb-2")) == 10
    assert any(kind in event.detail for event in again.events.of(StoreTrouble)) == (kind == "held")


@on_virtual_time
async def test_a_damaged_claim_counts_for_all_that_is_granted_until_it_is_forgotten() -> None:
    store, events = FakeStore(values={"owners": b"\xff"}), FakeEvents()
    claims = await stored_claims(store, events)
    assert claims == {"owners": ("*",)}
    (told,) = events.of(StoreTrouble)
    assert 'the record "claims" of "owners"' in told.detail
    assert "backends forget owners" in told.detail
    hub = Service(store=store, claims=claims)
    await hub.attach(FakeLink("one"), "images", "fb-*")
    assert (await hub.refusal("fb-1")).reason == "backend_absent"
    await hub.membership.forget("owners", "ada")
    assert await hub.ask("fb-1") == [{"from": "one"}]


@on_virtual_time
async def test_every_record_that_a_hub_writes_is_sound_and_a_damaged_one_is_listed() -> None:
    hub = Service(guarded_by_default(stale_s=60), initialised=False)
    await hub.keeper.open()
    await hub.attach(FakeLink("one", Says(MANY, FEW)), "images", "fb-*")
    await hub.ask("fb-1")
    await hub.ask("fb-1")
    held = hub.guard.held()[0]
    await hub.guard.decide(held.id, "rejected", "ada")
    found = check((kind, key, value) for (kind, key), value in hub.store.values.items())
    assert (found.initialised, found.damaged) == (True, ())
    kinds = {kind for kind, _ in hub.store.values}
    assert kinds == {"meta", "claims", "seen", "baselines", "history", "held", "last_good", "audit"}
    for kind in kinds - {"seen"}:
        record = json.dumps(["not", "what", 1]).encode() if kind == "claims" else b"{"
        assert f'"{kind}" of "k"' in check([(kind, "k", record)]).damaged[0]

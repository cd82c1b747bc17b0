"""A freeze refuses every changed answer, survives a restart, and is visible wherever an operator looks."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.combine import AnswerRules
from hub.core.errors import Frozen, StoreFailed
from hub.core.events import FreezeLifted, RouteFrozen, StoreTrouble
from hub.core.guard import GuardPolicy
from hub.core.routes import CLAIMED, Trust
from tests.support.admin import ADMIN, admin_port
from tests.support.fakes import FakeLink, FakeStore, Says, sets
from tests.support.service import Service, guarded_by_default, route

if TYPE_CHECKING:
    from hub.service.ports import RawAnswer

GUARDED = Trust(guard=GuardPolicy())
BY_NAME = AnswerRules(unique_by=("name",))

OLD = sets({"name": "a", "tag": "1"}, {"name": "b", "tag": "1"})
TURNED = sets({"tag": "1", "name": "b"}, {"name": "a", "tag": "1"})
NEW_TAG = sets({"name": "a", "tag": "2"}, {"name": "b", "tag": "1"})
ONE_MORE = sets({"name": "a", "tag": "1"}, {"name": "b", "tag": "1"}, {"name": "c", "tag": "1"})
ONE_LESS = sets({"name": "a", "tag": "1"})


async def hub(*answers: RawAnswer, store: FakeStore | None = None, trust: Trust = GUARDED, **more: Any) -> Service:
    """A hub whose only backend gives one answer after the other."""
    service = Service(route("previews", trust=trust, **more), store=store)
    await service.guard.open()
    await service.freezes.open()
    await service.attach(FakeLink("one", Says(*answers)))
    return service


async def test_a_changed_answer_is_a_503_that_says_why_and_who_can_lift_it() -> None:
    service = await hub(OLD, NEW_TAG)
    await service.ask()
    await service.freezes.freeze("previews", "registry is being restored", "ada")
    refusal = await service.refusal()
    assert (refusal.status, refusal.reason) == (503, "frozen")
    assert str(refusal) == (
        'route "previews" is frozen, and this answer differs from the last accepted one; Applications are left '
        "unchanged. Reason: registry is being restored. To lift the freeze, run: appset-hub unfreeze --route previews"
    )


@pytest.mark.parametrize("rules", [AnswerRules(), BY_NAME], ids=["whole sets", "by name"])
@pytest.mark.parametrize("answer", [NEW_TAG, ONE_MORE, ONE_LESS, sets()], ids=["tag", "more", "less", "none"])
async def test_every_kind_of_change_is_refused_and_what_was_accepted_goes_on(
    rules: AnswerRules, answer: RawAnswer
) -> None:
    service = await hub(OLD, OLD, answer, OLD, TURNED, rules=rules)
    accepted = await service.ask()
    await service.freezes.freeze("", "an incident", "ada")
    assert await service.ask() == accepted
    assert isinstance(await service.refusal(), Frozen)
    assert await service.ask() == accepted
    assert len(await service.ask()) == len(accepted), "another order is no change"


async def test_after_a_freeze_the_change_passes() -> None:
    service = await hub(OLD, NEW_TAG)
    await service.ask()
    await service.freezes.freeze("previews", "an incident", "ada")
    await service.refusal()
    await service.freezes.unfreeze("previews", "bob")
    assert (await service.ask())[0]["tag"] == "2"
    assert [event.who for event in service.events.of(RouteFrozen)] == ["ada"]
    assert [event.who for event in service.events.of(FreezeLifted)] == ["bob"]


async def test_a_question_that_was_never_answered_is_refused() -> None:
    service = await hub(OLD)
    await service.freezes.freeze("", "an incident", "ada")
    refusal = await service.refusal()
    assert "no accepted answer to compare" in str(refusal)
    assert str(refusal).endswith("run: appset-hub unfreeze")
    assert not [key for kind, key in service.store.values if kind == "baselines"]


async def test_another_route_is_not_frozen() -> None:
    service = Service(
        route("frozen", trust=GUARDED, application_sets=("fb-*",)),
        route("free", trust=GUARDED, application_sets=("pr-*",)),
    )
    await service.attach(FakeLink("one", Says(OLD)))
    await service.freezes.freeze("frozen", "an incident", "ada")
    assert len(await service.ask("pr-1")) == 2
    assert isinstance(await service.refusal("fb-1"), Frozen)


async def test_names_that_are_served_by_claims_are_frozen_under_the_name_of_their_route() -> None:
    service = Service(claims={"images": ("fb-*",)})
    await service.attach(FakeLink("one", Says(OLD)), "images", "fb-*")
    await service.freezes.freeze(CLAIMED, "an incident", "ada")
    assert str(await service.refusal()).endswith("run: appset-hub unfreeze --claims")


@pytest.mark.parametrize("rules", [AnswerRules(), BY_NAME], ids=["whole sets", "by name"])
async def test_after_a_restart_it_is_still_frozen_and_unchanged_answers_go_on(rules: AnswerRules) -> None:
    store = FakeStore()
    before = await hub(OLD, rules=rules, store=store)
    await before.ask()
    await before.freezes.freeze("previews", "an incident", "ada")
    after = await hub(TURNED, NEW_TAG, ONE_LESS, OLD, rules=rules, store=store)
    assert len(await after.ask()) == 2
    assert isinstance(await after.refusal(), Frozen)
    assert isinstance(await after.refusal(), Frozen)
    assert len(await after.ask()) == 2


async def test_a_freeze_that_cannot_be_read_is_one_of_unknown_reason() -> None:
    store = FakeStore()
    store.values["freezes", "previews"] = b"{"
    service = await hub(OLD, store=store)
    assert len(service.events.of(StoreTrouble)) == 1
    refusal = await service.refusal()
    assert "Reason" not in str(refusal)
    await service.freezes.unfreeze("previews", "ada")
    assert len(await service.ask()) == 2


async def test_without_a_guard_only_what_this_process_accepted_goes_on() -> None:
    off, store = Trust(guard=GuardPolicy(mode="off")), FakeStore()
    before = await hub(OLD, OLD, NEW_TAG, trust=off, store=store)
    await before.ask()
    await before.freezes.freeze("previews", "an incident", "ada")
    assert len(await before.ask()) == 2
    assert isinstance(await before.refusal(), Frozen)
    after = await hub(OLD, trust=off, store=store)
    assert "no accepted answer to compare" in str(await after.refusal())


async def test_a_refused_change_gives_no_stale_answer() -> None:
    service = Service(guarded_by_default(stale_s=60.0))
    await service.attach(FakeLink("one", Says(OLD, NEW_TAG)))
    await service.ask()
    await service.freezes.freeze("", "an incident", "ada")
    assert isinstance(await service.refusal(), Frozen)


async def test_a_freeze_waits_for_an_answer_that_is_being_accepted() -> None:
    store = FakeStore()
    service = await hub(OLD, NEW_TAG, store=store)
    await service.ask()
    store.gate = written = asyncio.Event()
    leaving = service.asking()
    await store.waiting.wait()
    store.gate = None
    freezing = asyncio.create_task(service.freezes.freeze("previews", "an incident", "ada"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert ("freezes", "previews") in store.values
    assert not freezing.done()
    written.set()
    await freezing
    assert (await leaving)[0]["tag"] == "2"


async def test_what_cannot_be_written_is_not_frozen() -> None:
    store = FakeStore()
    service = await hub(OLD, NEW_TAG, store=store)
    await service.ask()
    store.failing = True
    with pytest.raises(StoreFailed):
        await service.freezes.freeze("previews", "an incident", "ada")
    store.failing = False
    assert service.freezes.all() == []
    assert (await service.ask())[0]["tag"] == "2"


async def test_an_accepted_answer_waits_for_the_end_of_the_freeze() -> None:
    ten = sets(*({"name": str(number)} for number in range(10)))
    service = await hub(ten, sets({"name": "0"}))
    await service.ask()
    assert (await service.refusal()).status == 409
    (held,) = service.guard.held()
    await service.freezes.freeze("", "an incident", "ada")
    await service.guard.decide(held.id, "accepted", "ada")
    assert isinstance(await service.refusal(), Frozen)
    await service.freezes.unfreeze("", "ada")
    assert len(await service.ask()) == 1


async def test_the_admin_port_freezes_shows_and_lifts() -> None:
    service = await hub(OLD)
    token = {"Authorization": "Bearer admin-token"}
    async with admin_port(service, ADMIN) as port:
        body = {"by": "ada", "reason": "an incident", "route": "previews"}
        assert (await port.call("POST", "/api/freeze", json=body))[0] == 403
        assert (await port.call("POST", "/api/freeze", json=body, headers=token))[1]["changed"] is True
        (shown,) = (await port.get("/readyz"))[1]["frozen"]
        assert (shown["route"], shown["reason"], shown["by"]) == ("previews", "an incident", "ada")
        assert (await port.get("/api/freezes"))[1] == [shown]
        assert (await port.get("/api/routes"))[1][0]["frozen"] == shown
        assert (await port.get("/api/explain?name=fb-1"))[1]["frozen"] == shown
        ended = await port.call("POST", "/api/unfreeze", json={"by": "bob", "route": "previews"}, headers=token)
        assert ended[1]["changed"] is True
        assert (await port.get("/readyz"))[1]["frozen"] == []
        audit = (await port.get("/api/audit"))[1]
        assert [(one["action"], one["who"], one["route"]) for one in audit] == [
            ("freeze", "ada", "previews"),
            ("unfreeze", "bob", "previews"),
        ]


@pytest.mark.parametrize(
    "wrong",
    [{"route": "preview"}, {"reason": ""}, {"reason": " "}, {"reason": "two\nlines"}, {"reason": "x" * 161}],
    ids=json.dumps,
)
async def test_a_freeze_of_an_unknown_route_or_without_a_reason_is_refused(wrong: dict[str, str]) -> None:
    service = await hub(OLD)
    async with admin_port(service) as port:
        status, _ = await port.call("POST", "/api/freeze", json={"by": "ada", "reason": "an incident", **wrong})
        assert status in (400, 404)
        assert service.freezes.all() == []


async def test_the_longest_reason_fits_into_the_message() -> None:
    service = await hub(OLD, NEW_TAG)
    await service.freezes.freeze("previews", "x" * 160, "ada")
    assert len(str(await service.refusal()).encode()) < 470

"""What happens between an accepted answer and what is remembered of it: failures, evictions, renames and decisions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.combine import AnswerRules
from hub.core.elements import list_path
from hub.core.errors import AnswerHeld, StoreFailed
from hub.core.guard import GuardPolicy
from hub.core.routes import Route, Trust
from hub.service import records
from tests.support.fakes import FakeLink, FakeStore, sets
from tests.support.service import Service, route
from tests.support.virtual import after, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.service.ports import Change, RawAnswer


def named(count: int, **more: Any) -> RawAnswer:
    return sets(*({"name": f"s{number}", **more} for number in range(count)))


class Says:
    """A backend that can change its mind."""

    def __init__(self, answer: RawAnswer) -> None:
        self.answer = answer

    async def __call__(self, *_: Any) -> RawAnswer:
        return self.answer


def guarded(name: str = "r", *, stale_s: float | None = None, **policy: Any) -> Route:
    rules = AnswerRules(unique_by=("name",))
    return route(name, rules=rules, trust=Trust(guard=GuardPolicy(**policy), stale_max_age_s=stale_s))


async def opened(of: Route, says: Says, **more: Any) -> Service:
    hub = Service(of, **more)
    await hub.guarding.open()
    await hub.attach(FakeLink("one", says))
    return hub


class FailingLastGood(FakeStore):
    """Cannot write the last good answer while it is told so."""

    fails = False

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.fails and any(change.kind == records.LAST_GOOD for change in changes):
            raise StoreFailed("disk full")
        await super().apply(changes)


class Finishing(FakeStore):
    """Finishes a write that has begun even if nobody waits for it any more, as SQLite's thread does."""

    async def apply(self, changes: Sequence[Change]) -> None:
        await asyncio.shield(asyncio.ensure_future(super().apply(changes)))


@on_virtual_time
async def test_an_evicted_question_gets_a_baseline_again_although_its_answer_was_remembered() -> None:
    says = Says(named(20))
    hub = await opened(guarded(keep_s=7 * 86400.0), says, kept_questions=5)
    for _ in range(2):
        await hub.ask("old")
    await hub.guarding.eviction.tend()
    await after(8 * 86400)
    for number in range(6):
        await hub.ask(f"new-{number}")
    await hub.guarding.eviction.tend()
    assert len(await hub.ask("old")) == 20
    says.answer = named(1)
    assert isinstance(await hub.refusal("old"), AnswerHeld)


@on_virtual_time
async def test_what_was_accepted_but_could_not_be_kept_is_no_unchanged_answer() -> None:
    says, store = Says(named(18)), FailingLastGood()
    hub = await opened(guarded(stale_s=60.0), says, store=store)
    await hub.ask()
    says.answer, store.fails = named(9), True
    await hub.refusal()
    says.answer, store.fails = named(18), False
    assert len(await hub.ask()) == 18
    [baseline] = [value for (kind, _), value in store.values.items() if kind == records.BASELINES]
    assert baseline.count(b'"s') >= 18, "the baseline follows what was answered last"


@on_virtual_time
async def test_a_write_that_nobody_waits_for_is_known_at_the_next_question() -> None:
    says, store = Says(named(18)), Finishing()
    hub = await opened(guarded(window_s=0.0), says, store=store)
    await hub.ask()
    store.gate = asyncio.Event()
    says.answer = named(9)
    overtaken = asyncio.ensure_future(hub.ask())
    await after(1.5)
    says.answer = named(18)
    assert len(await hub.ask()) == 18
    store.gate.set()
    store.gate = None
    assert len(await overtaken) == 18
    says.answer = named(19)
    assert len(await hub.ask()) == 19
    again = await opened(guarded(window_s=0.0), says, store=store)
    says.answer = named(5)
    assert "14 of 19" in str(await again.refusal())


@on_virtual_time
@pytest.mark.parametrize(
    ("after_reload", "parameters"),
    [
        (guarded("renamed", release_after_s=600.0), {}),
        (guarded(release_after_s=600.0, ignore_inputs=("a",)), {"a": "1"}),
    ],
    ids=["a renamed route", "an ignored input"],
)
async def test_a_rejection_outlives_a_new_key(after_reload: Route, parameters: dict[str, Any]) -> None:
    says = Says(named(20))
    hub = await opened(guarded(release_after_s=600.0), says)
    await hub.ask(parameters=parameters)
    says.answer = named(2)
    await hub.refusal(parameters=parameters)
    await hub.guard.decide(hub.guard.held()[0].id, "rejected", "ann")
    hub.set_routes(after_reload)
    for _ in range(3):
        assert "rejected" in str(await hub.refusal(parameters=parameters))
        await after(700)


@on_virtual_time
async def test_one_more_ignored_input_leaves_the_baseline() -> None:
    says, parameters = Says(named(20)), {"a": "1", "b": "2", "c": "3"}
    hub = await opened(guarded(ignore_inputs=("a",)), says)
    await hub.ask(parameters=parameters)
    hub.set_routes(guarded(ignore_inputs=("a", "b")))
    says.answer = named(1)
    assert "19 of 20" in str(await hub.refusal(parameters=parameters))


@on_virtual_time
async def test_an_accepted_loss_accepts_no_changes_beyond_max_change() -> None:
    says = Says(named(20, tag="1"))
    hub = await opened(guarded(max_change=0.2), says)
    await hub.ask()
    says.answer = named(9, tag="1")
    await hub.refusal()
    await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ann")
    says.answer = named(9, tag="broken")
    await hub.refusal()
    assert hub.guard.held()[0].decision == ""


@on_virtual_time
async def test_a_counted_list_says_nothing_of_the_rest_while_frozen() -> None:
    def said(image: str) -> RawAnswer:
        return sets({"repo": "a", "branches": [{"name": f"b{number}", "image": image} for number in range(3)]})

    policy: dict[str, Any] = {"count": list_path("branches[].name"), "ignore_inputs": ("sha",)}
    says = Says(said("v1"))
    hub = await opened(route(trust=Trust(guard=GuardPolicy(**policy))), says)
    await hub.ask(parameters={"sha": "1"})
    await hub.freezes.freeze("", "incident", "ann")
    says.answer = said("v2")
    assert "frozen" in str(await hub.refusal(parameters={"sha": "1"}))

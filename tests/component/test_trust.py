"""What an answer is held against, what may stand in for it, and what is shared and kept."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hub.core.clients import Client
from hub.core.combine import AnswerRules, First, Merge
from hub.core.errors import (
    AnswerHeld,
    BackendFailed,
    HubError,
    InputRefused,
    NotAllowed,
    StoreFailed,
    UnknownRoute,
)
from hub.core.events import AnswerCached, AnswerHeldBack, AnswerReleased, AnswerStale, DropObserved, HeldDecided
from hub.core.guard import GuardPolicy
from hub.core.routes import Freshness, Route, Trust
from hub.core.values import ValueRules
from hub.service.baselines import MAX_CHANGES
from hub.service.flights import Flights
from hub.service.held import NoSuchHeldAnswer
from hub.service.overview import combine_text
from hub.service.ports import Broken, InvalidInput, RawAnswer
from hub.service.retention import keep_bounded
from tests.support.fakes import FakeLink, FakeStore, Gate, Says, sets
from tests.support.service import NOBODY, Service, route
from tests.support.virtual import after, all_has_run, on_virtual_time


def numbered(*numbers: int) -> RawAnswer:
    return sets(*({"n": str(number)} for number in numbers))


TEN, THREE, FOUR = numbered(*range(10)), numbered(0, 1, 2), numbered(0, 1, 2, 3)


def guarded(*, stale_s: float | None = None, **policy: Any) -> Route:
    return route("previews", trust=Trust(guard=GuardPolicy(**policy), stale_max_age_s=stale_s))


async def hub_that_hears(*answers: RawAnswer | Exception, of: Route, store: FakeStore | None = None) -> Service:
    hub = Service(of, store=store)
    await hub.guard.open()
    await hub.attach(FakeLink("one", Says(*answers)))
    return hub


@on_virtual_time
async def test_an_answer_that_loses_too_much_is_held() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded())
    assert len(await hub.ask()) == 10
    error = await hub.refusal()
    (held,) = hub.guard.held()
    assert isinstance(error, AnswerHeld)
    assert str(error) == (
        'route "previews": 7 of 10 parameter sets are missing from the answer, more than guard.max_drop (50%); '
        "nothing was changed. "
        f"If this is intended, run: appset-hub accept {held.id}"
    )
    assert (held.went, held.before, held.sets, len(held.missing)) == (7, 10, 3, 7)
    assert held.subject.application_set_name == "fb-1"
    assert hub.guard.held_count == 1


@on_virtual_time
async def test_a_held_answer_moves_no_baseline_and_has_the_same_text_each_time() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded())
    await hub.ask()
    texts = {str(await hub.refusal()) for _ in range(4)}
    assert len(texts) == 1
    assert len(hub.guard.held()) == 1
    assert {(event.went, event.before) for event in hub.events.of(AnswerHeldBack)} == {(7, 10)}


@on_virtual_time
async def test_each_small_step_is_accepted_where_each_answer_is_judged_alone() -> None:
    hub = await hub_that_hears(TEN, numbered(*range(6)), numbered(*range(4)), of=guarded(window_s=0.0))
    assert [len(await hub.ask()) for _ in range(3)] == [10, 6, 4]


@on_virtual_time
async def test_when_the_sets_are_back_nothing_is_held_any_more() -> None:
    hub = await hub_that_hears(TEN, THREE, TEN, THREE, of=guarded())
    await hub.ask()
    await hub.refusal()
    assert len(await hub.ask()) == 10
    assert hub.guard.held() == []
    assert await hub.store.load("held") == {}
    await hub.refusal()


@on_virtual_time
async def test_an_acceptance_covers_no_answer_that_loses_another_set() -> None:
    hub = await hub_that_hears(TEN, THREE, numbered(0, 1, 9), of=guarded())
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    await hub.guard.decide(held.id, "accepted", "ada")
    assert isinstance(await hub.refusal(), AnswerHeld), "set 2 is missing, which was there when it was accepted"
    (other,) = hub.guard.held()
    assert other.id != held.id
    assert other.decision == ""


@on_virtual_time
async def test_an_acceptance_covers_an_answer_that_loses_less() -> None:
    hub = await hub_that_hears(TEN, THREE, FOUR, of=guarded())
    await hub.ask()
    await hub.refusal()
    await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada")
    assert len(await hub.ask()) == 4
    assert hub.guard.held() == []


@on_virtual_time
async def test_an_accepted_answer_is_the_new_truth() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded())
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    decided = await hub.guard.decide(held.id, "accepted", "ada")
    assert (decided.decision, decided.decided_by) == ("accepted", "ada")
    assert len(await hub.ask()) == 3
    assert len(await hub.ask()) == 3
    assert hub.guard.held() == []
    (released,) = hub.events.of(AnswerReleased)
    assert (released.held_id, released.how) == (held.id, "accepted")
    (event,) = hub.events.of(HeldDecided)
    assert (event.held_id, event.decision, event.who) == (held.id, "accepted", "ada")
    assert [(entry.action, entry.who) for entry in await hub.guard.audit()] == [("accept", "ada"), ("passed", "ada")]


@on_virtual_time
async def test_a_rejected_answer_stays_held_even_when_its_time_has_come() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded(release_after_s=60.0))
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    await hub.guard.decide(held.id, "rejected", "ada")
    await after(100.0)
    assert "an operator rejected it" in str(await hub.refusal())
    assert [(entry.action, entry.who) for entry in await hub.guard.audit()] == [("reject", "ada")]


@on_virtual_time
async def test_equal_answers_for_long_enough_are_released() -> None:
    hub = await hub_that_hears(TEN, THREE, FOUR, THREE, of=guarded(release_after_s=60.0))
    await hub.ask()
    await hub.refusal()
    await after(59.0)
    await hub.refusal()  # Another answer: the time begins anew.
    await after(2.0)
    await hub.refusal()
    await after(61.0)
    assert len(await hub.ask()) == 3
    assert hub.events.of(AnswerReleased)[0].how == "released"
    assert [entry.action for entry in await hub.guard.audit()] == ["release"]


@on_virtual_time
async def test_nothing_held_under_an_id_is_said_so() -> None:
    hub = await hub_that_hears(TEN, of=guarded())
    with pytest.raises(NoSuchHeldAnswer):
        await hub.guard.decide("deadbeef", "accepted", "ada")


@on_virtual_time
async def test_a_decision_that_cannot_be_written_is_none() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded())
    await hub.ask()
    await hub.refusal()
    hub.store.failing = True
    with pytest.raises(StoreFailed):
        await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada")
    assert hub.guard.held()[0].decision == ""
    assert hub.events.of(HeldDecided) == []


@on_virtual_time
async def test_baselines_and_decisions_last_over_a_restart() -> None:
    store = FakeStore()
    hub = await hub_that_hears(TEN, of=guarded(), store=store)
    await hub.ask()
    again = await hub_that_hears(THREE, of=guarded(), store=store)
    assert isinstance(await again.refusal(), AnswerHeld)
    await again.guard.decide(again.guard.held()[0].id, "accepted", "ada")
    third = await hub_that_hears(THREE, of=guarded(), store=store)
    assert len(await third.ask()) == 3


@on_virtual_time
async def test_an_answer_whose_baseline_cannot_be_written_does_not_leave() -> None:
    hub = await hub_that_hears(TEN, of=guarded())
    hub.store.failing = True
    assert isinstance(await hub.refusal(), StoreFailed)
    hub.store.failing = False
    assert len(await hub.ask()) == 10


@pytest.mark.parametrize("more", [{}, {"mode": "off", "stale_s": 100.0}], ids=["a baseline", "a last good answer"])
@on_virtual_time
async def test_a_store_that_hangs_does_not_hold_the_caller_beyond_the_deadline(more: dict[str, Any]) -> None:
    hub = await hub_that_hears(TEN, of=guarded(**more))
    hub.store.gate = asyncio.Event()
    asking = asyncio.ensure_future(hub.refusal())
    await after(26.0)
    assert asking.done()
    assert asking.result().status in (503, 504)


@on_virtual_time
async def test_previews_and_other_questions_have_baselines_of_their_own() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded())
    assert len(await hub.ask("fb-1", {"branch": "a"})) == 10
    assert len(await hub.ask("fb-1", {"branch": "b"})) == 3
    assert len(await hub.ask("fb-2", {"branch": "a"})) == 3


@on_virtual_time
async def test_a_guard_that_observes_says_so_and_lets_through() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded(mode="observe"))
    await hub.ask()
    assert len(await hub.ask()) == 3
    (event,) = hub.events.of(DropObserved)
    assert (event.route, event.went, event.before) == ("previews", 7, 10)


@on_virtual_time
async def test_a_guard_that_is_off_writes_nothing() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded(mode="off"))
    written = hub.store.applied
    await hub.ask()
    assert len(await hub.ask()) == 3
    assert hub.store.applied == written


@on_virtual_time
async def test_an_unchanged_answer_costs_no_write() -> None:
    hub = await hub_that_hears(TEN, of=guarded())
    written = hub.store.applied
    for _ in range(5):
        await hub.ask()
    assert hub.store.applied == written + 1


@on_virtual_time
async def test_the_history_of_a_question_says_what_came_and_went() -> None:
    hub = await hub_that_hears(numbered(1, 2), numbered(2, 3), of=guarded())
    await hub.ask()
    await hub.ask()
    (history,) = await hub.guard.history("fb-1")
    assert [(one.sets, one.came_shown, one.went_shown) for one in history.changes] == [
        (2, ('{"n":"1"}', '{"n":"2"}'), ()), (2, ('{"n":"3"}',), ('{"n":"1"}',)),
    ]  # fmt: skip
    assert history.changes[0].members == {"images": 2}
    assert await hub.guard.history("fb-") == []


@on_virtual_time
async def test_a_history_is_bounded() -> None:
    hub = await hub_that_hears(*(numbered(number) for number in range(MAX_CHANGES + 5)), of=guarded())
    for _ in range(MAX_CHANGES + 5):
        await hub.ask()
    (history,) = await hub.guard.history("fb-1")
    assert len(history.changes) == MAX_CHANGES
    assert history.changes[-1].came_shown == (f'{{"n":"{MAX_CHANGES + 4}"}}',)


@on_virtual_time
async def test_an_answer_of_nothing_is_a_loss_like_any_other() -> None:
    hub = await hub_that_hears(TEN, sets(), of=guarded())
    await hub.ask()
    assert isinstance(await hub.refusal(), AnswerHeld)


@on_virtual_time
async def test_a_held_answer_is_neither_fresh_nor_known() -> None:
    fresh = msgspec.structs.replace(THREE, fresh_for_s=30.0, digest="d3")
    of = route("previews", trust=Trust(freshness=Freshness(max_s=60.0)))
    hub = await hub_that_hears(TEN, fresh, of=of)
    await hub.ask()
    await hub.refusal()
    assert isinstance(await hub.refusal(), AnswerHeld)


@on_virtual_time
async def test_a_fresh_answer_is_given_again_without_asking() -> None:
    of = route(trust=Trust(guard=GuardPolicy(mode="off"), freshness=Freshness(max_s=20.0)))
    hub = Service(of)
    link = FakeLink("one", Says(msgspec.structs.replace(TEN, fresh_for_s=1000.0)))
    await hub.attach(link)
    for _ in range(3):
        assert len(await hub.ask()) == 10
    assert len(link.asks) == 1
    assert len(hub.events.of(AnswerCached)) == 2
    await after(20.5)
    await hub.ask()
    assert len(link.asks) == 2


@on_virtual_time
async def test_the_whole_is_fresh_no_longer_than_its_shortest_member() -> None:
    hub = Service(route("r", "images", "owners"))
    images = FakeLink("i", Says(msgspec.structs.replace(sets({"a": 1}), fresh_for_s=30.0)))
    owners = FakeLink("o", Says(sets({"b": 1})))
    await hub.attach(images, "images")
    await hub.attach(owners, "owners")
    await hub.ask()
    await hub.ask()
    assert (len(images.asks), len(owners.asks)) == (2, 2)


@on_virtual_time
async def test_a_changed_route_is_asked_anew() -> None:
    def of(**more: Any) -> Route:
        return route(trust=Trust(guard=GuardPolicy(mode="off"), freshness=Freshness(fresh_s=60.0)), **more)

    hub = Service(of())
    link = FakeLink("one")
    await hub.attach(link)
    await hub.ask()
    hub.set_routes(of(rules=AnswerRules(required_keys=("branch",))))
    assert str(await hub.refusal()) == 'route "r": set 1 of 1 lacks the required key "branch"'
    assert len(link.asks) == 2


@on_virtual_time
async def test_an_error_is_never_kept() -> None:
    of = route(trust=Trust(guard=GuardPolicy(mode="off"), freshness=Freshness(fresh_s=60.0)))
    hub = Service(of)
    await hub.attach(FakeLink("one", Says(Broken("x"), TEN)))
    assert isinstance(await hub.refusal(), BackendFailed)
    assert len(await hub.ask()) == 10


@pytest.mark.parametrize("error", [Broken("x"), None], ids=["a failure", "an absence"])
@on_virtual_time
async def test_an_old_answer_stands_in_for_an_error_if_the_route_allows(error: Exception | None) -> None:
    hub = Service(guarded(stale_s=100.0))
    instance = await hub.attach(FakeLink("one", Says(TEN, *([error] if error else []))))
    await hub.ask()
    if error is None:
        hub.lose(instance)
    await after(50.0)
    answer = await hub.execute(hub.request())
    assert answer.count == 10
    assert answer.stale_s is not None
    assert 50.0 <= answer.stale_s < 60.0
    (event,) = hub.events.of(AnswerStale)
    assert (event.route, event.reason) == ("previews", "backend_absent" if error is None else "backend_failed")
    await after(60.0)
    assert (await hub.refusal()).status in (502, 503)


@on_virtual_time
async def test_a_held_answer_is_stood_in_for_as_well() -> None:
    hub = await hub_that_hears(TEN, THREE, of=guarded(stale_s=100.0))
    await hub.ask()
    assert len(await hub.ask()) == 10
    assert hub.events.of(AnswerStale)[0].reason == "answer_held"


@on_virtual_time
async def test_what_the_caller_did_wrong_is_said_and_not_covered_up() -> None:
    hub = await hub_that_hears(TEN, InvalidInput("$.x"), of=guarded(stale_s=100.0))
    await hub.ask()
    assert isinstance(await hub.refusal(), InputRefused)


@on_virtual_time
async def test_without_leave_no_old_answer_is_given() -> None:
    hub = await hub_that_hears(TEN, Broken("x"), of=guarded())
    await hub.ask()
    assert isinstance(await hub.refusal(), BackendFailed)


@on_virtual_time
async def test_an_old_answer_lasts_over_a_restart_but_not_over_a_change_of_its_route() -> None:
    store = FakeStore()
    await (await hub_that_hears(TEN, of=guarded(stale_s=100.0), store=store)).ask()
    again = await hub_that_hears(Broken("x"), of=guarded(stale_s=100.0), store=store)
    assert len(await again.ask()) == 10
    elsewhere = await hub_that_hears(Broken("x"), of=guarded(stale_s=100.0))
    assert isinstance(await elsewhere.refusal(), BackendFailed)
    changed = await hub_that_hears(Broken("x"), of=guarded(stale_s=100.0, min_sets=4), store=store)
    assert isinstance(await changed.refusal(), BackendFailed)


@on_virtual_time
async def test_an_old_answer_is_kept_current_without_a_write_each_time() -> None:
    hub = await hub_that_hears(TEN, TEN, TEN, TEN, Broken("x"), of=guarded(stale_s=100.0))
    await hub.ask()
    written = hub.store.applied
    await after(5.0)
    await hub.ask()
    assert hub.store.applied == written
    await after(80.0)
    await hub.ask()
    assert hub.store.applied == written + 1
    await after(90.0)
    await hub.ask()
    await after(90.0)
    assert len(await hub.ask()) == 10


@on_virtual_time
async def test_an_answer_that_cannot_be_kept_does_not_leave() -> None:
    hub = await hub_that_hears(TEN, of=guarded(stale_s=100.0, mode="off"))
    hub.store.failing = True
    assert isinstance(await hub.refusal(), StoreFailed)


@on_virtual_time
async def test_equal_questions_at_the_same_time_share_one_ask() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = [hub.asking("fb-1", {"a": 1}) for _ in range(10)]
    other = hub.asking("fb-1", {"a": 2})
    await all_has_run()
    assert len(link.asks) == 2
    gate.open_one()
    gate.open_one()
    assert await asyncio.gather(*asking, other) == [[{"a": "1"}]] * 11


@on_virtual_time
async def test_another_client_shares_no_ask() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = [hub.asking(client=Client(name=name)) for name in ("argocd", "ci")]
    await all_has_run()
    assert len(link.asks) == 2
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)


@on_virtual_time
async def test_one_of_several_callers_who_hangs_up_fails_nobody_else() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    first, second = hub.asking(), hub.asking()
    await all_has_run()
    first.cancel()
    await asyncio.wait([first])
    assert link.cancelled == 0
    gate.open_one()
    assert await second == [{"a": "1"}]


@on_virtual_time
async def test_when_all_callers_have_hung_up_the_ask_is_cancelled_and_the_next_begins_anew() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link)
    asking = [hub.asking(), hub.asking()]
    await all_has_run()
    for task in asking:
        task.cancel()
    again = hub.asking()
    await all_has_run()
    assert link.cancelled == 1
    gate.open_one()
    assert await again == [{"a": "1"}]


@on_virtual_time
async def test_a_flight_that_fails_fails_all_who_share_it() -> None:
    flights: Flights[str] = Flights()
    landed = asyncio.get_running_loop().create_future()
    waiting = [asyncio.ensure_future(flights.join("key", NOBODY, lambda: wait_for(landed))) for _ in range(3)]
    await all_has_run()
    assert flights.count == 1
    landed.set_exception(KeyError("x"))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KeyError] * 3
    assert flights.count == 0


@pytest.mark.parametrize("fails", [False, True], ids=["an answer", "a failure"])
@on_virtual_time
async def test_one_who_hangs_up_as_the_flight_lands_does_not_keep_it_from_the_others(*, fails: bool) -> None:
    flights: Flights[str] = Flights()
    landed = asyncio.get_running_loop().create_future()
    leads, goes, stays = (
        asyncio.ensure_future(flights.join("key", NOBODY, lambda: wait_for(landed))) for _ in range(3)
    )
    await all_has_run()
    if fails:
        landed.set_exception(KeyError("x"))
    else:
        landed.set_result("here")
    goes.cancel()
    outcomes = await asyncio.gather(leads, goes, stays, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == (
        [KeyError, asyncio.CancelledError, KeyError] if fails else [str, asyncio.CancelledError, str]
    )


@on_virtual_time
async def test_a_flight_that_is_cancelled_from_outside_ends_for_all() -> None:
    flights: Flights[str] = Flights()
    forever = asyncio.get_running_loop().create_future()
    leads, follows = (asyncio.ensure_future(flights.join("key", NOBODY, lambda: wait_for(forever))) for _ in range(2))
    await all_has_run()
    leads.cancel()
    await asyncio.wait([leads, follows])
    assert (leads.cancelled(), follows.cancelled(), flights.count) == (True, True, 0)


async def wait_for(future: asyncio.Future[str]) -> str:
    return await future


@pytest.mark.parametrize(
    ("client", "more", "error"),
    [
        (Client(name="c", application_sets=("shop",)), {}, NotAllowed),
        (Client(name="c", routes=("other",)), {}, NotAllowed),
        (Client(name="c"), {"path_route": "nowhere"}, UnknownRoute),
    ],
    ids=["the name", "the route", "no such route"],
)
@on_virtual_time
async def test_who_may_not_ask_reaches_no_backend(client: Client, more: dict[str, Any], error: type[HubError]) -> None:
    hub = Service(route("previews"))
    link = FakeLink("one")
    await hub.attach(link)
    request = hub.request(client=client, **more)
    with pytest.raises(error):
        await hub.execute(request)
    assert link.asks == []


@on_virtual_time
async def test_the_route_that_was_found_is_told_even_when_it_is_refused() -> None:
    hub = Service(route("previews", wait_for_absent_s=0.0))
    request = hub.request()
    with pytest.raises(HubError):
        await hub.execute(request)
    assert request.route_name == "previews"


@on_virtual_time
async def test_an_input_that_a_member_would_refuse_is_refused_before_anybody_is_asked() -> None:
    hub = Service(route("r", "images", "owners"))
    images = FakeLink("i")
    await hub.attach(images, "images")
    owners = await hub.attach(FakeLink("o"), "owners", input_schema_json=b'{"required":["branch"]}')
    error = await hub.refusal()
    assert isinstance(error, InputRefused)
    assert str(error) == 'backend "owners" refuses the input: $: branch is missing'
    assert images.asks == []
    hub.lose(owners)
    assert isinstance(await hub.refusal(), InputRefused), "the schema outlives its instance"
    assert (await hub.refusal("fb-1", {"branch": "x"})).status == 503


@on_virtual_time
async def test_inputs_are_copied_as_the_route_says() -> None:
    hub = Service(route("r", values=ValueRules(echo=("branch",), numbers="text")))
    await hub.attach(FakeLink("one", Says(sets({"n": 1000000}))))
    assert await hub.ask("fb-1", {"branch": "x"}) == [{"n": "1000000", "branch": "x"}]
    assert str(await hub.refusal()) == 'the input lacks "branch", which route "r" copies into each set'


@on_virtual_time
async def test_what_lasts_is_pruned_again_and_again_and_a_failure_ends_nothing() -> None:
    store = FakeStore()
    store.values = {(kind, str(number)): b"x" for kind in ("audit", "last_good") for number in range(10)}
    store.values["claims", "images"] = b"[]"
    store.values["held", "h"] = b"x"
    keeping = asyncio.ensure_future(keep_bounded(store, Service(store=store).guarding, 3))
    await all_has_run()
    for kind in ("audit", "last_good"):
        assert [key for key in store.values if key[0] == kind] == [(kind, str(n)) for n in (7, 8, 9)]
    assert ("claims", "images") in store.values
    assert ("held", "h") in store.values
    store.failing = True
    await after(700.0)
    store.failing, pruned = False, store.pruned
    await after(700.0)
    assert store.pruned > pruned
    keeping.cancel()
    await asyncio.wait([keeping])


@pytest.mark.parametrize(
    ("how", "text"),
    [(Merge(on=("a", "b")), "merge on a, b"), (First(), "first")],
    ids=["merge", "first"],
)
def test_how_answers_are_combined_is_a_word_or_two(how: Any, text: str) -> None:
    assert combine_text(how) == text

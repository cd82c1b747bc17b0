"""Baselines are dropped by disuse only, inherited by renamed questions, and inputs that always differ are noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.core.clients import Client
from hub.core.errors import BaselinesFull, StoreFailed
from hub.core.events import BaselineInherited, BaselinesOverLimit, BaselinesWithinLimit, InputVaries
from hub.core.guard import GuardPolicy
from hub.core.question import Question
from hub.core.routes import Trust
from hub.service.ports import Broken
from tests.support.fakes import FakeLink, FakeStore, Says, sets
from tests.support.service import Service, route
from tests.support.virtual import after, on_virtual_time

if TYPE_CHECKING:
    from hub.core.routes import Route

DAY_S = 86400.0
KEEP_S = 10 * DAY_S


def numbered(count: int) -> Any:
    return sets(*({"name": str(number)} for number in range(count)))


def guarded(name: str = "previews", *, ignore: tuple[str, ...] = (), **more: Any) -> Route:
    return route(name, trust=Trust(guard=GuardPolicy(ignore_inputs=ignore, keep_s=KEEP_S)), **more)


async def hub(*answers: Any, routes: tuple[Route, ...] = (), **more: Any) -> Service:
    """A hub whose only backend gives one answer after the other."""
    service = Service(*(routes or (guarded(),)), **more)
    await service.guarding.open()
    await service.attach(FakeLink("one", Says(*(answers or (numbered(10),)))))
    return service


def kept(service: Service) -> list[str]:
    """The names that have a baseline in the store."""
    return sorted({key.partition("/")[0] for kind, key in service.store.values if kind == "baselines"})


# Eviction.


@on_virtual_time
async def test_above_the_limit_the_question_that_was_not_asked_for_longest_is_dropped_whole() -> None:
    service = await hub(kept_questions=2)
    for name in ("stable", "older", "old"):
        await service.ask(name)
        await service.guarding.eviction.tend()
        await after(3600.0)
    for _ in range(11):
        await after(DAY_S)
        await service.ask("stable")
        await service.guarding.eviction.tend()
    assert kept(service) == ["old", "stable"]
    assert {kind for kind, key in service.store.values if key.startswith("stable/")} == {
        "baselines",
        "history",
        "uses",
    }
    assert len([key for kind, key in service.store.values if kind in ("history", "uses")]) == 4


@on_virtual_time
async def test_one_off_questions_never_push_out_one_that_is_in_use() -> None:
    service = await hub(kept_questions=5)
    await service.ask("stable")
    for day in range(20):
        await after(DAY_S)
        await service.ask("stable")
        await service.ask("one-off", {"sha": str(day)})
        await service.guarding.eviction.tend()
        assert "stable" in kept(service)
        assert len(service.guarding.uses) == day + 2 or day > 7, "all were used within the time that they are kept"
    assert len(service.guarding.uses) <= 10


@on_virtual_time
async def test_a_question_whose_backend_fails_is_in_use_all_the_same() -> None:
    service = await hub(numbered(10), numbered(10), Broken("away"), kept_questions=1)
    for name in ("stable", "other"):
        await service.ask(name)
    for _ in range(11):
        await after(DAY_S)
        await service.refusal("stable")
        await service.guarding.eviction.tend()
    assert kept(service) == ["stable"]


@on_virtual_time
async def test_when_none_may_be_dropped_the_hub_says_so_and_goes_on_until_twice_the_limit() -> None:
    service = await hub(kept_questions=2)
    for number in range(4):
        await service.ask(f"n{number}")
    await service.guarding.eviction.tend()
    await service.guarding.eviction.tend()
    assert [(one.kept, one.limit, one.bound) for one in service.events.of(BaselinesOverLimit)] == [(4, 2, 4)]
    refusal = await service.refusal("n4")
    assert isinstance(refusal, BaselinesFull)
    assert (refusal.status, kept(service)) == (503, ["n0", "n1", "n2", "n3"])
    assert len(await service.ask("n0")) == 10, "questions with a baseline go on"
    assert service.guarding.eviction.view().full


@on_virtual_time
async def test_when_it_is_full_questions_that_were_asked_once_make_room_after_a_day() -> None:
    service = await hub(kept_questions=2)
    for number in range(4):
        await service.ask(f"n{number}")
    await service.guarding.eviction.tend()
    await after(DAY_S / 2)
    await service.ask("n0")
    await after(DAY_S)
    assert isinstance(await service.refusal("n4"), BaselinesFull)
    assert service.guarding.uses.due.is_set(), "the next turn comes at once"
    await service.guarding.eviction.tend()
    assert "n0" in kept(service)
    assert len(await service.ask("n4")) == 10


@on_virtual_time
async def test_within_the_limit_again_is_said_once() -> None:
    service = await hub(kept_questions=2)
    for number in range(3):
        await service.ask(f"n{number}")
    await service.guarding.eviction.tend()
    await after(11 * DAY_S)
    await service.guarding.eviction.tend()
    await service.guarding.eviction.tend()
    assert len(kept(service)) == 2
    assert len(service.events.of(BaselinesWithinLimit)) == 1


@on_virtual_time
async def test_a_use_is_written_once_a_day_and_not_with_each_request() -> None:
    service = await hub()
    await service.ask()
    await service.guarding.uses.write()
    for _ in range(100):
        await service.ask()
    await service.guarding.uses.write()
    written = service.store.applied
    for _ in range(23):
        await after(3600.0)
        await service.ask()
        await service.guarding.uses.write()
    assert service.store.applied == written
    await after(2 * 3600.0)
    await service.ask()
    await service.guarding.uses.write()
    assert service.store.applied == written + 1


@on_virtual_time
async def test_a_use_that_could_not_be_written_is_written_later() -> None:
    service = await hub()
    await service.ask()
    service.store.failing = True
    with pytest.raises(StoreFailed):
        await service.guarding.uses.write()
    service.store.failing = False
    await service.guarding.uses.write()
    assert [kind for kind, _ in service.store.values].count("uses") == 1


@on_virtual_time
async def test_a_baseline_that_an_older_hub_wrote_counts_as_used_now() -> None:
    store = FakeStore()
    await (await hub(store=store)).ask("stable")
    await after(100 * DAY_S)
    service = await hub(store=store, kept_questions=1)
    await service.ask("new")
    await service.guarding.eviction.tend()
    assert kept(service) == ["new", "stable"]


@on_virtual_time
async def test_uses_survive_a_restart() -> None:
    store = FakeStore()
    before = await hub(store=store)
    for name in ("used", "unused"):
        await before.ask(name)
    await before.guarding.uses.write()
    await after(9 * DAY_S)
    await before.ask("used")
    await before.guarding.uses.write()
    await after(2 * DAY_S)
    service = await hub(store=store, kept_questions=1)
    await service.guarding.eviction.tend()
    assert kept(service) == ["used"]


@on_virtual_time
async def test_a_clock_that_jumps_drops_nothing_that_this_process_has_seen() -> None:
    service = await hub(kept_questions=1)
    jump_s = 0.0
    service.guarding.uses._clock = lambda: service.now() + jump_s  # noqa: SLF001 - the time of day jumps.
    for name in ("a", "b"):
        await service.ask(name)
    jump_s = 365 * DAY_S
    await service.guarding.eviction.tend()
    assert kept(service) == ["a", "b"]


@on_virtual_time
async def test_what_is_held_goes_with_its_question() -> None:
    service = await hub(numbered(10), numbered(2), kept_questions=1)
    await service.ask("old")
    await service.refusal("old")
    await service.guarding.eviction.tend()
    await after(11 * DAY_S)
    await service.ask("new")
    await service.guarding.eviction.tend()
    assert (kept(service), service.guard.held()) == (["new"], [])


# Inheritance.


async def test_another_client_that_is_configured_shares_nothing() -> None:
    service = await hub(numbered(10), numbered(2))
    service.guarding.askers.take(["argocd", "other"])
    await service.ask()
    assert len(await service.ask(client=Client(name="other"))) == 2
    assert service.events.of(BaselineInherited) == []


async def test_a_renamed_client_and_a_renamed_route_take_the_baseline_along() -> None:
    service = await hub(numbered(10), numbered(2))
    await service.ask(parameters={"env": "prod"})
    service.guarding.askers.take(["gitops"])
    service.set_routes(guarded("branches"))
    assert (await service.refusal(parameters={"env": "prod"}, client=Client(name="gitops"))).status == 409
    (inherited,) = service.events.of(BaselineInherited)
    assert (inherited.client, inherited.from_route, inherited.how) == ("argocd", "previews", "move")
    assert len([1 for kind, _ in service.store.values if kind == "baselines"]) == 1
    (history,) = await service.guard.history("fb-1")
    assert [change.how for change in history.changes] == ["checked", "inherited"]
    assert (history.subject.client, history.subject.route) == ("gitops", "branches")


async def test_another_input_inherits_nothing() -> None:
    service = await hub(numbered(10), numbered(2))
    await service.ask(parameters={"env": "prod"})
    service.guarding.askers.take(["gitops"])
    assert len(await service.ask(parameters={"env": "test"}, client=Client(name="gitops"))) == 2


async def test_a_held_answer_of_the_old_question_is_held_of_the_new_one() -> None:
    service = await hub(numbered(10), numbered(2))
    await service.ask()
    await service.refusal()
    (before,) = service.guard.held()
    service.guarding.askers.take(["gitops"])
    await service.refusal(client=Client(name="gitops"))
    (after_it,) = service.guard.held()
    assert (after_it.id, after_it.since_s) == (before.id, before.since_s), "a link to it still leads to it"
    assert (before.subject.client, after_it.subject.client) == ("argocd", "gitops")


# Inputs.


async def test_an_ignored_input_makes_no_new_question_for_the_guard() -> None:
    service = await hub(numbered(10), numbered(4), routes=(guarded(ignore=("sha",)),))
    await service.ask(parameters={"env": "prod", "sha": "1"})
    refusal = await service.refusal(parameters={"env": "prod", "sha": "2"})
    assert refusal.status == 409
    assert str(await service.refusal(parameters={"env": "prod", "sha": "3"})) == str(refusal)
    (held,) = service.guard.held()
    assert held.input == {"env": "prod"}
    await service.guard.decide(held.id, "accepted", "ada")
    assert len(await service.ask(parameters={"sha": "4", "env": "prod"})) == 4
    assert len(await service.ask(parameters={"env": "test", "sha": "4"})) == 4, "another question"


async def test_the_backend_is_asked_with_the_whole_input() -> None:
    service = Service(guarded(ignore=("sha",)))
    link = FakeLink("one", Says(numbered(10)))
    await service.attach(link)
    await service.ask(parameters={"sha": "1"})
    await service.ask(parameters={"sha": "2"})
    assert [ask.input_json for ask in link.asks] == [b'{"sha":"1"}', b'{"sha":"2"}']


async def test_a_baseline_from_before_the_input_was_ignored_is_taken_along() -> None:
    service = await hub(numbered(10), numbered(4))
    await service.ask(parameters={"env": "prod", "sha": "1"})
    service.set_routes(guarded(ignore=("sha",)))
    assert (await service.refusal(parameters={"env": "prod", "sha": "1"})).status == 409


@on_virtual_time
async def test_an_input_that_differs_in_every_question_is_reported_once() -> None:
    service = await hub()
    for number in range(12):
        await service.ask(parameters={"env": "prod", "sha": str(number)})
        await after(300.0)
        await service.guarding.uses.write()
    (event,) = service.events.of(InputVaries)
    assert (event.route, event.application_set_name, event.key) == ("previews", "fb-1", "sha")
    explained = await service.overview.explain("fb-1", None, {})
    assert explained.varying_inputs == ("sha",)
    service.set_routes(guarded(ignore=("sha",)))
    assert (await service.overview.explain("fb-1", None, {})).varying_inputs == ()


@on_virtual_time
async def test_the_rows_of_a_matrix_are_no_such_input() -> None:
    service = await hub()
    for turn in range(12):
        # Each turn has one row more, at its front, and takes a minute.
        for number in range(turn + 10, 0, -1):
            await service.ask(parameters={"env": "prod", "branch": str(number)})
            await after(5.0)
        await after(180.0)
        await service.guarding.uses.write()
    assert service.events.of(InputVaries) == []


@on_virtual_time
async def test_two_inputs_that_differ_together_are_not_reported() -> None:
    service = await hub()
    for number in range(12):
        await service.ask(parameters={"sha": str(number), "time": str(number)})
        await after(300.0)
    assert service.events.of(InputVaries) == []


async def test_a_guard_that_only_observes_refuses_nothing_for_lack_of_room() -> None:
    observing = route("previews", trust=Trust(guard=GuardPolicy(mode="observe")))
    service = await hub(routes=(observing,), kept_questions=1)
    for number in range(4):
        assert len(await service.ask(f"n{number}")) == 10
    assert kept(service) == ["n0", "n1"]


async def test_questions_are_counted_within_a_bound_and_long_inputs_by_their_key() -> None:
    service = await hub()
    uses = service.guarding.uses
    long = {"text": "x" * 5000}
    await service.ask(parameters=long)
    await uses.write()
    await service.ask(parameters=long)
    await uses.write()
    (key,) = [key for kind, key in service.store.values if kind == "uses"]
    assert uses.asked_again(key)
    for number in range(60_000):
        uses.count(
            Question(
                client="argocd",
                route="previews",
                application_set_name="flood",
                application_set_namespace="",
                input_json=b'{"n":%d}' % number,
            )
        )
    assert uses.due.is_set()
    assert uses.counted < 50_000

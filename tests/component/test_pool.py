"""Whose turn it is, when callers come and go in the same moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hub.core.answer import CheckedAnswer
from hub.core.combine import Answer
from hub.core.deadline import Deadline
from hub.core.errors import AnswerHeld, BackendAbsent
from hub.core.question import Question
from hub.service.pool import Turn
from hub.service.remembered import Remembered, RememberedAnswers
from tests.support.fakes import FakeLink, FakeStore
from tests.support.service import Service, guarded_by_default, route
from tests.support.virtual import all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from hub.core.directory import Instance
    from hub.service.ports import Link


def taking(hub: Service) -> asyncio.Task[Instance[Link]]:
    turn = Turn(
        backend="images", route="r", claimed_name=None, wait_for_absent_s=3.0, deadline=Deadline(hub.now() + 100.0)
    )
    return asyncio.get_running_loop().create_task(hub.pool.take(turn, None))


@on_virtual_time
async def test_who_is_cancelled_at_its_turn_passes_the_free_place_on() -> None:
    hub = Service()
    instance = await hub.attach(FakeLink("one"), max_in_flight=1)
    await taking(hub)
    first, second = taking(hub), taking(hub)
    await all_has_run()
    began_s = now_s()
    hub.pool.give_back(instance)
    first.cancel()
    assert await second is instance
    assert now_s() == began_s, "at once, and not when the second gave up waiting"
    assert first.cancelled()
    assert instance.in_flight == 1


@on_virtual_time
async def test_who_is_cancelled_as_an_instance_comes_disturbs_nobody() -> None:
    hub = Service()
    first, second = taking(hub), taking(hub)
    await all_has_run()
    began_s = now_s()
    first.cancel()
    instance = await hub.attach(FakeLink("one"))
    assert await second is instance
    assert now_s() == began_s
    assert first.cancelled()
    assert instance.in_flight == 1


@on_virtual_time
async def test_a_place_given_back_when_nobody_waits_is_free_for_the_next() -> None:
    hub = Service()
    instance = await hub.attach(FakeLink("one"), max_in_flight=1)
    await taking(hub)
    hub.pool.give_back(instance)
    assert await taking(hub) is instance


def question(name: str) -> Question:
    return Question(client="c", route="r", application_set_name=name, application_set_namespace="", input_json=b"{}")


def remembered(size: int) -> Remembered:
    one = CheckedAnswer(raw=b"x" * size, sets_json=b"[]", count=0)
    return Remembered(route=route(), members={"images": one}, combined=Answer(body=b"[]", count=0))


def test_what_was_not_asked_for_the_longest_time_is_forgotten_first() -> None:
    answers = RememberedAnswers(max_entries=2, max_bytes=10**9)
    for name in ("a", "b"):
        answers.put(question(name), remembered(1))
    answers.get(question("a"))
    answers.put(question("c"), remembered(1))
    assert [name for name in "abc" if answers.get(question(name))] == ["a", "c"]
    assert answers.entries == 2


def test_memory_for_answers_is_bounded() -> None:
    answers = RememberedAnswers(max_entries=100, max_bytes=5000)
    for name in ("a", "b", "c"):
        answers.put(question(name), remembered(2000))
        answers.put(question(name), remembered(2000))
    assert answers.get(question("a")) is None
    assert 0 < answers.size_bytes <= 5000
    answers.put(question("large"), remembered(10_000))
    assert (answers.entries, answers.size_bytes) == (0, 0)


def test_all_is_forgotten_when_it_was_checked_against_something_else() -> None:
    answers = RememberedAnswers(max_entries=100, max_bytes=5000)
    answers.put(question("a"), remembered(1))
    answers.clear()
    assert (answers.get(question("a")), answers.entries, answers.size_bytes) == (None, 0, 0)


@on_virtual_time
async def test_baselines_that_are_not_in_memory_are_read_from_the_store() -> None:
    hub, count = Service(baseline_bytes=3_000_000), 10_000
    for name in ("a", "b"):
        large = Answer(body=b"x", count=count, identities=tuple(f"{name}{number}" for number in range(count)))
        await hub.guard.review(question(name), guarded_by_default(), large)
    reads = hub.store.read
    await hub.guard.review(question("b"), guarded_by_default(), large)
    assert hub.store.read == reads
    small = Answer(body=b"y", count=0)
    with pytest.raises(AnswerHeld, match="10000 of 10000 parameter sets are missing"):
        await hub.guard.review(question("a"), guarded_by_default(), small)
    assert hub.store.read > reads


@on_virtual_time
async def test_an_unchanged_answer_after_a_restart_writes_nothing() -> None:
    store = FakeStore()
    for _ in range(2):
        hub = Service(guarded_by_default(), store=store)
        await hub.attach(FakeLink("one"))
        await hub.ask()
    assert store.applied == 2, "the first hub wrote that the backend has connected, and a baseline"


@on_virtual_time
async def test_old_answers_that_are_not_in_memory_are_read_from_the_store() -> None:
    hub = Service()
    stale = guarded_by_default(stale_s=1000.0)
    for name in ("a", "b"):
        await hub.last_good.keep(question(name), stale, Answer(body=name.encode() * 40 * 1024 * 1024, count=1))
    found = await hub.last_good.instead_of(BackendAbsent("x"), question("a"), stale)
    assert found.body[:1] == b"a"
    assert hub.store.read == 1

"""A backend that fails everything: questions that failed get the same error sooner, and nothing else changes."""

from __future__ import annotations

from hub.core.errors import BackendFailed, DeadlinePassed
from hub.core.events import BreakerMoved, QuestionSpared
from hub.service import ports
from hub.service.breaker import DEFAULT_FAILURES as FAILURES
from hub.service.breaker import PROBE_EVERY_S
from tests.support.fakes import FakeLink, Says, never
from tests.support.service import Service, route
from tests.support.virtual import after, now_s, on_virtual_time

BROKEN = Says(ports.Broken("UNKNOWN: it fell over"))


async def broken(link: FakeLink) -> Service:
    """A hub whose only backend has failed so often that questions are spared."""
    hub = Service(route(deadline_s=2.0))
    await hub.attach(link)
    link.behaviour = BROKEN
    for number in range(FAILURES):
        assert isinstance(await hub.refusal(f"fb-{number}"), BackendFailed)
    return hub


@on_virtual_time
async def test_a_question_that_failed_is_spared_and_gets_the_same_error() -> None:
    link = FakeLink("one")
    hub = await broken(link)
    asked = len(link.asks)
    first = await hub.refusal("fb-0")
    assert len(link.asks) == asked
    assert hub.events.of(BreakerMoved)[-1].is_open
    assert len(hub.events.of(QuestionSpared)) == 1
    await after(PROBE_EVERY_S)
    again = await hub.refusal("fb-0")
    assert len(link.asks) == asked + 1
    assert (type(first), str(first)) == (type(again), str(again))


@on_virtual_time
async def test_a_question_that_has_not_failed_is_asked_and_its_answer_ends_it_for_all() -> None:
    link = FakeLink("one")
    hub = await broken(link)
    link.behaviour = None
    assert await hub.ask("fb-new") == [{"from": "one"}]
    assert await hub.ask("fb-0") == [{"from": "one"}]
    assert [one.is_open for one in hub.events.of(BreakerMoved)] == [True, False]


@on_virtual_time
async def test_a_backend_that_is_well_again_is_back_within_a_second() -> None:
    link = FakeLink("one")
    hub = await broken(link)
    link.behaviour, began_s = None, now_s()
    while True:
        try:
            assert await hub.ask("fb-0") == [{"from": "one"}]
            break
        except BackendFailed:
            await after(0.05)
    assert now_s() - began_s <= 1.0


@on_virtual_time
async def test_one_question_after_another_waits_for_a_backend_that_hangs_but_not_again() -> None:
    link = FakeLink("one")
    hub = Service(route(deadline_s=2.0))
    await hub.attach(link)
    link.behaviour = never
    for number in range(FAILURES):
        assert isinstance(await hub.refusal(f"fb-{number}"), DeadlinePassed)
    began_s = now_s()
    refusal = await hub.refusal("fb-0")
    assert now_s() == began_s
    assert (type(refusal), refusal.status) == (DeadlinePassed, 504)


@on_virtual_time
async def test_a_backend_that_fails_some_questions_only_is_asked_each_time() -> None:
    link = FakeLink("one")
    hub = Service(route(deadline_s=2.0))
    await hub.attach(link)
    for _ in range(4 * FAILURES):
        link.behaviour = BROKEN
        assert isinstance(await hub.refusal("fb-bad"), BackendFailed)
        link.behaviour = None
        assert await hub.ask("fb-good") == [{"from": "one"}]
    assert len(link.asks) == 8 * FAILURES
    assert hub.events.of(BreakerMoved) == []


@on_virtual_time
async def test_a_backend_that_is_not_ready_or_whose_answer_is_refused_is_asked_each_time() -> None:
    link = FakeLink("one")
    hub = Service(route(deadline_s=2.0))
    await hub.attach(link)
    for behaviour in (Says(ports.NotReady("cold", 7.0)), Says(ports.InvalidInput("no"))):
        link.behaviour = behaviour
        asked = len(link.asks)
        for _ in range(2 * FAILURES):
            await hub.refusal("fb-0")
        assert len(link.asks) >= asked + 2 * FAILURES

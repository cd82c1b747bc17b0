"""One question at its members: retries, waiting, load, deadlines, and what is remembered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hub.core.answer import Limits, Notice
from hub.core.combine import First
from hub.core.directory import Grant
from hub.core.errors import (
    AnswerRefused,
    BackendAbsent,
    BackendBusy,
    BackendFailed,
    BackendNotReady,
    DeadlinePassed,
    HubError,
    InputRefused,
)
from hub.core.events import AnswerNoticed, AskRetried, BackendAsked, BackendFailure
from hub.core.routes import Freshness, Trust
from hub.service.freshness import Limited
from hub.service.ports import Ask, Broken, InstanceLost, InvalidInput, NotReady, RawAnswer, TimedOut
from tests.support.fakes import FakeLink, Gate, Says, never, sets
from tests.support.service import Service, route, with_digest
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from hub.core.deadline import Deadline

LOST = InstanceLost("the stream ended before the answer came")
NOT_READY = NotReady("still warming up")


@on_virtual_time
async def test_a_question_is_asked_with_everything_that_it_is() -> None:
    hub = Service(route(deadline_s=10.0))
    link = FakeLink("one")
    await hub.attach(link)
    assert await hub.ask("fb-1", {"b": 1, "a": 2}) == [{"from": "one"}]
    assert link.asks == [
        Ask(application_set_name="fb-1", application_set_namespace="", input_json=b'{"a":2,"b":1}', request_id="id-1")
    ]
    (asked,) = hub.events.of(BackendAsked)
    assert (asked.backend, asked.outcome) == ("images", "ok")


@on_virtual_time
async def test_a_lost_instance_is_replaced_by_another_one() -> None:
    hub = Service(route())
    dying, other = FakeLink("dying", Says(LOST)), FakeLink("other")
    await hub.attach(dying)
    await hub.attach(other)
    assert await hub.ask() == [{"from": "other"}]
    (retried,) = hub.events.of(AskRetried)
    assert (retried.backend, retried.instance, retried.cause) == ("images", "dying", "InstanceLost")


@on_virtual_time
async def test_a_lost_instance_is_asked_again_when_it_is_back() -> None:
    hub = Service(route(wait_for_absent_s=3.0))
    gate = Gate(LOST)
    instance = await hub.attach(FakeLink("one", gate))
    asking = hub.asking()
    await gate.arrived.wait()
    hub.lose(instance)
    gate.open_one()
    await all_has_run()
    assert not asking.done()
    await hub.attach(FakeLink("one"))
    assert await asking == [{"from": "one"}]


@on_virtual_time
async def test_a_lost_instance_that_does_not_come_back_is_absent() -> None:
    hub = Service(route(wait_for_absent_s=3.0))
    gate = Gate(LOST)
    instance = await hub.attach(FakeLink("one", gate))
    asking, began_s = hub.asking(), now_s()
    await gate.arrived.wait()
    hub.lose(instance)
    gate.open_one()
    with pytest.raises(BackendAbsent, match=r'^backend "images" is not connected'):
        await asking
    assert now_s() - began_s == pytest.approx(3.0, abs=0.01)


@on_virtual_time
async def test_an_ask_is_repeated_once_and_not_more() -> None:
    hub = Service(route())
    links = [FakeLink(name, Says(LOST)) for name in ("one", "two", "three")]
    for link in links:
        await hub.attach(link)
    error = await hub.refusal()
    assert isinstance(error, BackendAbsent)
    assert str(error) == 'the connection to backend "images" broke while it was asked, twice'
    assert sum(len(link.asks) for link in links) == 2
    assert hub.events.of(BackendAsked)[0].outcome == "backend_absent"


@on_virtual_time
async def test_a_question_that_breaks_every_connection_is_not_retried_but_asked_each_time() -> None:
    hub = Service(route())

    async def crashes(ask: Ask, _deadline: Deadline) -> RawAnswer:
        if ask.application_set_name == "fb-deadly":
            raise LOST
        return sets({"a": "1"})

    link = FakeLink("one", crashes)
    await hub.attach(link)
    texts = {str(await hub.refusal("fb-deadly")) for _ in range(5)}
    assert texts == {'the connection to backend "images" broke while it was asked, twice'}
    assert len(link.asks) == 2 + 4, "with one retry, then without"
    assert await hub.ask("fb-1") == [{"a": "1"}]
    await after(61)
    await hub.refusal("fb-deadly")
    assert len(link.asks) == 6 + 1 + 2, "it is forgotten after a minute"


@on_virtual_time
async def test_a_question_that_is_answered_again_is_retried_again() -> None:
    hub = Service(route())
    link = FakeLink("one", Says(LOST, LOST, sets({"a": "1"}), LOST, sets({"a": "1"})))
    await hub.attach(link)
    await hub.refusal()
    assert await hub.ask() == [{"a": "1"}]
    assert await hub.ask() == [{"a": "1"}]
    assert len(link.asks) == 5


@on_virtual_time
async def test_a_backend_that_is_not_ready_is_asked_at_another_instance() -> None:
    hub = Service(route())
    await hub.attach(FakeLink("cold", Says(NOT_READY)))
    await hub.attach(FakeLink("warm"))
    assert await hub.ask() == [{"from": "warm"}]
    assert hub.events.of(AskRetried)[0].cause == "NotReady"


@on_virtual_time
async def test_a_backend_that_is_not_ready_is_not_asked_again_at_the_same_instance() -> None:
    hub = Service(route())
    link = FakeLink("cold", Says(NOT_READY))
    await hub.attach(link)
    error = await hub.refusal()
    assert isinstance(error, BackendNotReady)
    assert str(error) == 'backend "images" is not ready: still warming up'
    assert len(link.asks) == 1
    assert hub.events.of(AskRetried) == []


@on_virtual_time
async def test_an_instance_on_its_way_out_that_is_not_ready_is_replaced_by_its_next_process() -> None:
    hub = Service(route(wait_for_absent_s=3.0))
    gate = Gate(NOT_READY)
    instance = await hub.attach(FakeLink("stopping", gate))
    asking = hub.asking()
    await gate.arrived.wait()
    hub.membership.leaving(instance)
    gate.open_one()
    await after(2.0)
    assert not asking.done()
    await hub.attach(FakeLink("next"))
    assert await asking == [{"from": "next"}]
    assert [event.cause for event in hub.events.of(AskRetried)] == ["NotReady"]


@pytest.mark.parametrize(
    ("said_s", "told_s"),
    [(None, 5), (7.0, 7), (6.2, 7), (0.0, 1), (-3.0, 1), (86_400.0, 3600)],
    ids=["nothing", "seconds", "a fraction", "at once", "a negative one", "a day"],
)
@on_virtual_time
async def test_when_a_backend_expects_to_be_ready_is_passed_on_within_limits(said_s: float | None, told_s: int) -> None:
    hub = Service(route())
    await hub.attach(FakeLink("cold", Says(NotReady("rate limited", said_s))))
    error = await hub.refusal()
    assert isinstance(error, BackendNotReady)
    assert error.retry_after_s == told_s


@on_virtual_time
async def test_an_instance_that_says_when_to_retry_is_not_asked_before_that_but_another_one_is() -> None:
    hub = Service(route())
    link = FakeLink("limited", Says(NotReady("rate limited", 7.0)))
    instance = await hub.attach(link)
    instance.kind = "configured"  # Behind its address there may be others.
    assert isinstance(await hub.refusal(), BackendNotReady)
    assert len(link.asks) == 1
    await hub.attach(FakeLink("other"))
    assert await hub.ask() == [{"from": "other"}]


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (InvalidInput("$.branch: missing"), InputRefused, 'backend "images" refuses the input: $.branch: missing'),
        (Broken("UNKNOWN: password=hunter2"), BackendFailed,
         'backend "images" failed; its own log, and the hub\'s, say why'),
    ],
    ids=["invalid input", "broken"],
)  # fmt: skip
@on_virtual_time
async def test_a_failure_of_the_backends_own_is_not_repeated(
    failure: Exception, error: type[HubError], message: str
) -> None:
    hub = Service(route())
    links = [FakeLink("one", Says(failure)), FakeLink("other", Says(failure))]
    for link in links:
        await hub.attach(link)
    refused = await hub.refusal()
    assert isinstance(refused, error)
    assert str(refused) == message
    assert sum(len(link.asks) for link in links) == 1
    assert hub.events.of(BackendAsked)[0].outcome == error.reason


@on_virtual_time
async def test_the_details_of_a_broken_backend_are_for_the_log_only() -> None:
    hub = Service(route())
    await hub.attach(FakeLink("one", Says(Broken("UNKNOWN: password=hunter2"))))
    assert "hunter2" not in str(await hub.refusal())
    (failure,) = hub.events.of(BackendFailure)
    assert (failure.backend, failure.application_set_name, failure.request_id, failure.detail) == (
        "images", "fb-1", "id-1", "UNKNOWN: password=hunter2",
    )  # fmt: skip


@on_virtual_time
async def test_an_absent_member_is_waited_for_and_then_named() -> None:
    hub = Service(route("previews", wait_for_absent_s=3.0))
    began_s = now_s()
    error = await hub.refusal()
    assert isinstance(error, BackendAbsent)
    assert str(error) == 'backend "images" is not connected; nothing changes until it is back (route "previews")'
    assert now_s() - began_s == pytest.approx(3.0, abs=0.01)


@on_virtual_time
async def test_an_absent_member_that_comes_in_time_answers() -> None:
    hub = Service(route(wait_for_absent_s=3.0))
    asking = hub.asking()
    await after(2.9)
    began_s = now_s()
    await hub.attach(FakeLink("late"))
    assert await asking == [{"from": "late"}]
    assert now_s() == began_s, "at once, and not when it gave up waiting"


@on_virtual_time
async def test_nobody_waits_for_an_absent_member_beyond_the_deadline() -> None:
    hub = Service(route(deadline_s=2.0, wait_for_absent_s=60.0))
    began_s = now_s()
    assert isinstance(await hub.refusal(), BackendAbsent)
    assert now_s() - began_s <= 2.0


@on_virtual_time
async def test_with_no_time_to_wait_an_absent_member_is_refused_at_once() -> None:
    hub = Service(route(wait_for_absent_s=0.0))
    began_s = now_s()
    assert isinstance(await hub.refusal(), BackendAbsent)
    assert now_s() == began_s


@on_virtual_time
async def test_a_short_answer_is_never_given_for_a_member_that_went() -> None:
    hub = Service(route("r", "images", "owners", wait_for_absent_s=1.0))
    await hub.attach(FakeLink("i", Says(sets({"a": "1"}))), "images")
    owners = await hub.attach(FakeLink("o", Says(sets({"b": "2"}))), "owners")
    assert await hub.ask() == [{"a": "1"}, {"b": "2"}]
    hub.lose(owners)
    error = await hub.refusal()
    assert (error.status, '"owners"' in str(error)) == (503, True)
    await hub.attach(FakeLink("o", Says(sets({"b": "2"}))), "owners")
    assert await hub.ask() == [{"a": "1"}, {"b": "2"}]


@on_virtual_time
async def test_a_claim_whose_instances_claim_something_else_now_says_what_an_operator_can_do() -> None:
    hub = Service(claims={"images": ("fb-*",)})
    hub.routing.claims_changed()
    await hub.attach(FakeLink("one"), "images", "shop-*")
    error = await hub.refusal("fb-1")
    assert isinstance(error, BackendAbsent)
    assert "appset-hub backends forget images" in str(error)


@on_virtual_time
async def test_a_claim_without_any_instance_names_the_backend() -> None:
    hub = Service(claims={"images": ("fb-*",)})
    hub.routing.claims_changed()
    error = await hub.refusal("fb-1")
    assert str(error) == 'backend "images" is not connected; nothing changes until it is back'


@on_virtual_time
async def test_max_in_flight_holds_and_the_rest_waits_in_line() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link, max_in_flight=2)
    asking = [hub.asking(f"fb-{number}") for number in range(5)]
    await all_has_run()
    assert len(link.asks) == 2
    for _ in range(5):
        gate.open_one()
        await all_has_run()
    await asyncio.gather(*asking)
    assert link.most_in_flight == 2
    assert [ask.application_set_name for ask in link.asks] == [f"fb-{number}" for number in range(5)]


@on_virtual_time
async def test_the_hubs_own_limit_is_above_what_an_instance_wants() -> None:
    hub = Service(route(), max_in_flight=3, default_in_flight=2)
    greedy = await hub.attach(FakeLink("greedy"), max_in_flight=1000)
    silent = await hub.attach(FakeLink("silent"))
    assert (greedy.max_in_flight, silent.max_in_flight) == (3, 2)


@on_virtual_time
async def test_a_backend_that_stays_busy_is_said_to_be_busy() -> None:
    hub = Service(route(deadline_s=5.0, wait_for_absent_s=1.0, wait_for_busy_s=4.0))
    instance = await hub.attach(FakeLink("one"), max_in_flight=1)
    instance.in_flight = 1
    began_s = now_s()
    error = await hub.refusal()
    assert isinstance(error, BackendBusy)
    assert str(error) == 'backend "images" has as many questions in flight as it takes; start more instances of it'
    assert now_s() - began_s == pytest.approx(4.0)


@on_virtual_time
async def test_a_new_instance_serves_those_who_wait() -> None:
    hub = Service(route())
    await hub.attach(FakeLink("one", Gate()), max_in_flight=1)
    held = hub.asking("fb-0")
    asking = [hub.asking(f"fb-{number}") for number in range(1, 4)]
    await all_has_run()
    began_s = now_s()
    await hub.attach(FakeLink("two"))
    assert await asyncio.gather(*asking) == [[{"from": "two"}]] * 3
    assert now_s() == began_s, "at once, and not when they gave up waiting"
    held.cancel()
    await asyncio.wait([held])


@on_virtual_time
async def test_a_waiter_who_hangs_up_takes_no_ones_turn() -> None:
    hub = Service(route())
    gate = Gate()
    link = FakeLink("one", gate)
    await hub.attach(link, max_in_flight=1)
    first, second, third = (hub.asking(f"fb-{number}") for number in range(3))
    await all_has_run()
    began_s = now_s()
    second.cancel()
    gate.open_one()
    await all_has_run()
    gate.open_one()
    await first
    await third
    assert second.cancelled()
    assert now_s() - began_s < 1.0


@on_virtual_time
async def test_a_waiter_who_hangs_up_when_it_is_its_turn_passes_it_on() -> None:
    hub = Service(route())
    gate = Gate()
    await hub.attach(FakeLink("one", gate), max_in_flight=1)
    first, second, third = (hub.asking(f"fb-{number}") for number in range(3))
    await all_has_run()
    # The free place and the hang-up come in the same turn of the loop: the second is woken, and then cancelled.
    first.add_done_callback(lambda _: second.cancel())
    gate.open_one()
    await all_has_run()
    gate.open_one()
    await all_has_run()
    assert third.done()
    await asyncio.wait([first, second, third])


@pytest.mark.parametrize("hang_ups", range(1, 8))
@on_virtual_time
async def test_whoever_hangs_up_whenever_the_others_are_served(hang_ups: int) -> None:
    hub = Service(route(deadline_s=1000.0))
    gate = Gate()
    link = FakeLink("one", gate)
    instance = await hub.attach(link, max_in_flight=2)
    asking = [hub.asking(f"fb-{number}") for number in range(20)]
    await all_has_run()
    for number in range(0, 20, hang_ups):
        asking[number].cancel()
        if any(not future.done() for future in gate.held):
            gate.open_one()
    while not all(task.done() for task in asking):
        await all_has_run()
        if any(not future.done() for future in gate.held):
            gate.open_one()
    assert instance.in_flight == 0
    assert link.most_in_flight == 2


@on_virtual_time
async def test_a_free_place_goes_to_a_waiter_who_can_use_it() -> None:
    hub = Service(grants=(Grant(backend="images"),))
    x, y = Gate(), Gate()
    await hub.attach(FakeLink("x", x), "images", "x-*", max_in_flight=1)
    await hub.attach(FakeLink("y", y), "images", "y-*", max_in_flight=1)
    busy = [hub.asking("x-0"), hub.asking("y-0")]
    await all_has_run()
    waits_for_y = hub.asking("y-1")
    await all_has_run()
    waits_for_x = hub.asking("x-1")
    await all_has_run()
    x.open_one()
    await all_has_run()
    assert len(x.held) == 2, "x is free, and x-1 waits for it behind y-1"
    x.open_one()
    y.open_one()
    await all_has_run()
    y.open_one()
    await asyncio.gather(*busy, waits_for_x, waits_for_y)


@on_virtual_time
async def test_the_load_goes_to_who_has_the_least() -> None:
    hub = Service(route())
    gates = Gate(), Gate()
    links = [FakeLink(str(number), gate) for number, gate in enumerate(gates)]
    for link in links:
        await hub.attach(link)
    asking = [hub.asking(f"fb-{number}") for number in range(6)]
    await all_has_run()
    assert [len(link.asks) for link in links] == [3, 3]
    for gate in gates:
        for _ in range(3):
            gate.open_one()
    await asyncio.gather(*asking)


@on_virtual_time
async def test_an_instance_that_is_leaving_finishes_but_is_asked_no_more() -> None:
    hub = Service(route(wait_for_absent_s=1.0))
    gate = Gate()
    instance = await hub.attach(FakeLink("one", gate))
    asking = hub.asking("fb-1")
    await gate.arrived.wait()
    hub.membership.leaving(instance)
    assert isinstance(await hub.refusal("fb-2"), BackendAbsent)
    gate.open_one()
    assert await asking == [{"a": "1"}]


@on_virtual_time
async def test_a_slow_member_is_cut_off_at_the_deadline_and_told_so() -> None:
    hub = Service(route("previews", deadline_s=7.5))
    link = FakeLink("slow", never)
    await hub.attach(link)
    began_s = now_s()
    error = await hub.refusal()
    assert isinstance(error, DeadlinePassed)
    assert str(error) == 'backend "images" did not answer in time (the deadline of route "previews" is 7.5 s)'
    assert now_s() - began_s == pytest.approx(7.5)
    assert link.cancelled == 1
    assert hub.events.of(BackendAsked)[0].outcome == "deadline_passed"


@on_virtual_time
async def test_a_passed_deadline_has_the_same_text_whoever_notices_it_first() -> None:
    hub = Service(route(deadline_s=7.5))
    link = FakeLink("slow", never)
    await hub.attach(link)
    noticed_by_the_hub = str(await hub.refusal())
    link.behaviour = Says(TimedOut("Deadline Exceeded"))
    noticed_by_the_backend = await hub.refusal()
    assert isinstance(noticed_by_the_backend, DeadlinePassed)
    assert str(noticed_by_the_backend) == noticed_by_the_hub


@on_virtual_time
async def test_members_are_asked_side_by_side_and_answered_in_their_order() -> None:
    hub = Service(route("r", "images", "owners"))
    slow, quick = Gate(sets({"a": "1"})), Gate(sets({"b": "2"}))
    await hub.attach(FakeLink("i", slow), "images")
    await hub.attach(FakeLink("o", quick), "owners")
    asking = hub.asking()
    await slow.arrived.wait()
    await quick.arrived.wait()
    quick.open_one()
    await all_has_run()
    slow.open_one()
    assert await asking == [{"a": "1"}, {"b": "2"}]


@pytest.mark.parametrize("images_first", [True, False], ids=["the first fails first", "the second fails first"])
@on_virtual_time
async def test_of_several_failures_the_first_member_is_named(*, images_first: bool) -> None:
    hub = Service(route("r", "images", "owners"))
    images, owners = Gate(Broken("x")), Gate(InvalidInput("y"))
    await hub.attach(FakeLink("i", images), "images")
    await hub.attach(FakeLink("o", owners), "owners")
    refusal = asyncio.get_running_loop().create_task(hub.refusal())
    await images.arrived.wait()
    await owners.arrived.wait()
    for gate in (images, owners) if images_first else (owners, images):
        gate.open_one()
        await all_has_run()
    assert str(await refusal).startswith('backend "images" failed')


@on_virtual_time
async def test_one_members_failure_is_the_whole_answers_failure() -> None:
    hub = Service(route("r", "images", "owners"))
    await hub.attach(FakeLink("i"), "images")
    await hub.attach(FakeLink("o", Says(Broken("x"))), "owners")
    assert isinstance(await hub.refusal(), BackendFailed)


@on_virtual_time
async def test_a_caller_who_hangs_up_cancels_every_member() -> None:
    hub = Service(route("r", "images", "owners"))
    links = [FakeLink("i", never), FakeLink("o", never)]
    instances = [await hub.attach(links[0], "images"), await hub.attach(links[1], "owners")]
    asking = hub.asking()
    await all_has_run()
    asking.cancel()
    await asyncio.wait([asking])
    await all_has_run()
    assert [link.cancelled for link in links] == [1, 1]
    assert [instance.in_flight for instance in instances] == [0, 0]
    assert {asked.outcome for asked in hub.events.of(BackendAsked)} == {"cancelled"}


@on_virtual_time
async def test_first_asks_the_next_member_only_if_the_one_before_failed() -> None:
    hub = Service(route("r", "images", "owners", combine=First()))
    images, owners = FakeLink("i"), FakeLink("o")
    await hub.attach(images, "images")
    await hub.attach(owners, "owners")
    assert await hub.ask() == [{"from": "i"}]
    assert owners.asks == []
    images.behaviour = Says(Broken("x"))
    assert await hub.ask() == [{"from": "o"}]
    images.behaviour = Says(sets())
    assert await hub.ask() == []
    images.behaviour = Says(RawAnswer(sets_json=b"oops"))
    assert await hub.ask() == [{"from": "o"}]


@on_virtual_time
async def test_first_gives_each_member_its_share_of_the_time() -> None:
    hub = Service(route("r", "images", "owners", combine=First(), deadline_s=10.0))
    await hub.attach(FakeLink("i", never), "images")
    await hub.attach(FakeLink("o"), "owners")
    began_s = now_s()
    assert await hub.ask() == [{"from": "o"}]
    assert now_s() - began_s == pytest.approx(5.0)


@on_virtual_time
async def test_when_all_have_failed_first_says_what_the_first_said() -> None:
    hub = Service(route("r", "images", "owners", combine=First()))
    await hub.attach(FakeLink("i", Says(InvalidInput("x"))), "images")
    await hub.attach(FakeLink("o", Says(Broken("y"))), "owners")
    assert str(await hub.refusal()) == 'backend "images" refuses the input: x'


@on_virtual_time
async def test_an_equal_answer_is_compared_and_not_read_again() -> None:
    hub = Service(route())
    await hub.attach(FakeLink("one", Says(sets({"a": 1}), sets({"a": 1}), sets({"a": 2}), sets({"a": 2}))))
    for expected in (1, 1, 2, 2):
        assert await hub.ask() == [{"a": expected}]
    assert [event.checked for event in hub.events.of(BackendAsked) if event.checked] == ["read", "same", "read", "same"]


@on_virtual_time
async def test_the_same_answer_to_another_question_is_read() -> None:
    hub = Service(route())
    await hub.attach(FakeLink("one", Says(sets({"a": 1}))))
    await hub.ask("fb-1")
    await hub.ask("fb-2")
    await hub.ask("fb-1", {"x": 1})
    assert [event.checked for event in hub.events.of(BackendAsked) if event.checked] == ["read"] * 3


@on_virtual_time
async def test_an_answer_that_is_not_modified_is_the_one_that_the_hub_holds() -> None:
    hub = Service(route())
    unchanged = RawAnswer(sets_json=b"", not_modified=True)
    link = FakeLink("one", Says(with_digest(sets({"a": 1}), "d1"), unchanged))
    await hub.attach(link)
    assert await hub.ask() == [{"a": 1}]
    assert await hub.ask() == [{"a": 1}]
    assert [ask.known_digest for ask in link.asks] == ["", "d1"]
    assert [event.checked for event in hub.events.of(BackendAsked) if event.checked] == ["read", "not_modified"]


@pytest.mark.parametrize("before", [[], [sets({"a": 1})]], ids=["nothing is held", "what is held has no digest"])
@on_virtual_time
async def test_not_modified_without_anything_to_compare_is_refused(before: list[RawAnswer]) -> None:
    hub = Service(route())
    await hub.attach(FakeLink("one", Says(*before, RawAnswer(sets_json=b"", not_modified=True))))
    for _ in before:
        await hub.ask()
    error = await hub.refusal()
    assert isinstance(error, AnswerRefused)
    assert str(error) == 'backend "images" answered "not modified", but not of the answer that the hub holds'


@on_virtual_time
async def test_what_is_forgotten_is_asked_without_a_digest_again() -> None:
    hub = Service(route(), remembered_entries=1)
    link = FakeLink("one", Says(with_digest(sets({"a": 1}), "d1")))
    await hub.attach(link)
    for name in ("fb-1", "fb-2", "fb-1"):
        await hub.ask(name)
    assert [ask.known_digest for ask in link.asks] == ["", "", ""]
    assert hub.remembered.entries == 1


@on_virtual_time
async def test_a_refused_answer_is_not_remembered() -> None:
    hub = Service(route())
    link = FakeLink("one", Says(RawAnswer(sets_json=b"[{}]", digest="d1"), sets({"a": 1})))
    await hub.attach(link)
    assert str(await hub.refusal()) == 'backend "images": set 1 of 1 is empty'
    assert await hub.ask() == [{"a": 1}]
    assert link.asks[1].known_digest == ""


@on_virtual_time
async def test_a_member_of_first_is_remembered_as_that_member() -> None:
    hub = Service(route("r", "images", "owners", combine=First()))
    images = FakeLink("i", Says(sets({"a": 1}), Broken("x"), sets({"a": 1})))
    await hub.attach(images, "images")
    await hub.attach(FakeLink("o", Says(sets({"a": 1}))), "owners")
    for _ in range(3):
        assert await hub.ask() == [{"a": 1}]
    assert [event.checked for event in hub.events.of(BackendAsked) if event.checked] == ["read", "read", "read"]


@on_virtual_time
async def test_notices_are_told_when_the_answer_is_read_and_not_each_time() -> None:
    hub = Service(route("previews"))
    said = Notice(kind="from_backend", text="registry is slow", severity="info")
    await hub.attach(FakeLink("one", Says(RawAnswer(sets_json=b'[{"a":null}]', notices=(said,)))))
    await hub.ask()
    await hub.ask()
    told = hub.events.of(AnswerNoticed)
    assert [one.notice.kind for one in told] == ["null_value", "from_backend"]
    assert {(one.backend, one.route, one.application_set_name) for one in told} == {("images", "previews", "fb-1")}


@on_virtual_time
async def test_a_backend_that_asks_for_longer_freshness_than_allowed_is_noticed_once() -> None:
    of = route("previews", "images", "owners", trust=Trust(freshness=Freshness(max_s=20.0)))
    hub = Service(of)
    long = msgspec.structs.replace(sets({"a": 1}), fresh_for_s=300.0)
    await hub.attach(FakeLink("i", Says(long)), "images")
    await hub.attach(FakeLink("o", Says(msgspec.structs.replace(sets({"b": 1}), fresh_for_s=20.0))), "owners")
    for name in ("fb-1", "fb-2", "fb-3"):
        await hub.ask(name)
    [told] = [event for event in hub.events.of(AnswerNoticed) if event.notice.kind == "fresh_for_limited"]
    assert (told.backend, told.route, told.notice.severity) == ("images", "previews", "info")
    assert told.notice.text == (
        "fresh_for is 300 s, and cache.max of the route limits it to 20 s; raise cache.max to reuse answers for longer"
    )
    assert {one.name: one.freshness_limited for one in hub.overview.backends()} == {
        "images": Limited(route="previews", wanted_s=300.0, allowed_s=20.0),
        "owners": None,
    }


@on_virtual_time
async def test_the_limits_of_an_answer_hold() -> None:
    hub = Service(route(), answer_limits=Limits(max_sets=1))
    await hub.attach(FakeLink("one", Says(sets({"a": 1}, {"a": 2}))))
    assert str(await hub.refusal()) == 'backend "images" answered with more than 1 parameter sets'


@on_virtual_time
async def test_an_error_that_nobody_expected_is_not_taken_for_an_answer() -> None:
    hub = Service(route("r", "images", "owners"))
    one = await hub.attach(FakeLink("i", Says(RuntimeError("defect"))), "images")
    other = FakeLink("o", never)
    await hub.attach(other, "owners")
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - of whatever kind.
        await hub.ask()
    assert not isinstance(raised.value, HubError)
    assert one.in_flight == 0
    assert other.cancelled == 1


def texts(errors: list[Any]) -> set[str]:
    return {str(error) for error in errors}


@on_virtual_time
async def test_the_same_fault_has_the_same_text_each_time() -> None:
    hub = Service(route(wait_for_absent_s=0.5, deadline_s=1.0))
    absent = [await hub.refusal(request_id=f"id-{number}") for number in range(3)]
    await hub.attach(FakeLink("slow", never))
    slow = [await hub.refusal(request_id=f"id-{number}") for number in range(3)]
    assert (len(texts(absent)), len(texts(slow))) == (1, 1)

"""Heartbeats on an attached stream, from the hub's side: who is silent is lost, and who is busy sends none."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import registry_pb2

from hub.core.deadline import Deadline
from hub.core.events import AskRetried, InstanceLeft, RegistrationRefused
from hub.rpc.attach import Session, Silent
from hub.rpc.pulse import Pulse, silence_s
from hub.service.ports import Ask, InvalidInput
from tests.support.rpc import answer, reachable, stream
from tests.support.service import route
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

if TYPE_CHECKING:
    from tests.support.rpc import Attached

EVERY_S = 2.0
PATIENCE_S = 10.0


class Peer:
    """A backend's end that says what it is told to, and notes when it heard what."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []
        self.silent_for_s: list[float] = []
        self.says: asyncio.Queue[registry_pb2.AttachRequest] = asyncio.Queue()

    async def read(self) -> registry_pb2.AttachRequest:
        return await self.says.get()

    async def write(self, message: registry_pb2.AttachResponse) -> None:
        self.heard.append((now_s(), message.WhichOneof("kind") or ""))
        if message.HasField("heartbeat"):
            self.silent_for_s.append(message.heartbeat.silent_for.ToMilliseconds() / 1000)

    def leaving(self) -> None:
        raise AssertionError("it is not leaving")

    def beat(self, silent_s: float = 0.0) -> None:
        heartbeat = registry_pb2.Heartbeat()
        heartbeat.silent_for.FromMilliseconds(int(silent_s * 1000))
        self.says.put_nowait(registry_pb2.AttachRequest(heartbeat=heartbeat))

    def answer(self, number: int) -> None:
        answers = registry_pb2.Answers(answers=[answer(number)])
        self.says.put_nowait(registry_pb2.AttachRequest(answers=answers))

    def times(self, kind: str) -> list[float]:
        return [at_s for at_s, what in self.heard if what == kind]


def open_stream(heartbeat_s: float = EVERY_S, max_input_bytes: int = 0) -> tuple[Peer, Session, asyncio.Task[None]]:
    peer, session = Peer(), Session(now_s, heartbeat_s=heartbeat_s, max_input_bytes=max_input_bytes)
    running = session.run(cast("Any", peer), peer, registry_pb2.Welcome())
    return peer, session, asyncio.get_running_loop().create_task(running)


def ask(session: Session, input_json: bytes = b"{}") -> asyncio.Task[Any]:
    question = Ask(application_set_name="fb-1", application_set_namespace="", input_json=input_json, request_id="")
    return asyncio.get_running_loop().create_task(session.ask(question, Deadline(now_s() + 1000)))


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait((running,))


@on_virtual_time
async def test_on_a_silent_stream_no_two_messages_are_further_apart_than_a_heartbeat() -> None:
    peer, session, running = open_stream()
    began_s = now_s()
    for step in range(40):
        peer.beat()
        if step == 9:
            asking = ask(session)
        await after(0.73)
    times = [at_s for at_s, _ in peer.heard]
    assert max(b - a for a, b in itertools.pairwise(times)) <= EVERY_S + 1e-3
    assert len(peer.times("heartbeat")) <= (now_s() - began_s) / EVERY_S
    peer.answer(1)
    await asking
    await ended(running)


@on_virtual_time
async def test_a_busy_stream_carries_no_heartbeats() -> None:
    peer, session, running = open_stream()
    for number in range(1, 60):
        asking = ask(session)
        await after(0.5)
        peer.answer(number)
        await asking
    assert peer.times("heartbeat") == []
    await ended(running)


@on_virtual_time
async def test_a_backend_that_does_not_know_heartbeats_gets_none_and_may_be_silent() -> None:
    peer, _session, running = open_stream(heartbeat_s=0.0)
    await after(3600)
    assert peer.heard == [(peer.heard[0][0], "welcome")]
    assert not running.done()
    await ended(running)


@on_virtual_time
async def test_a_silent_backend_is_lost_and_its_text_says_for_how_long() -> None:
    _peer, _session, running = open_stream()
    began_s = now_s()
    with pytest.raises(Silent, match="it sent nothing for 10 s, not even a heartbeat"):
        await running
    assert PATIENCE_S <= now_s() - began_s <= PATIENCE_S + EVERY_S


@on_virtual_time
async def test_whatever_it_says_is_a_sign_of_life() -> None:
    peer, session, running = open_stream()
    asking = [ask(session) for _ in range(5)]
    for number in range(1, 6):
        await after(PATIENCE_S - 0.5)
        peer.answer(number)
    await asyncio.gather(*asking)
    assert not running.done()
    await ended(running)


@on_virtual_time
async def test_a_backend_that_sends_something_large_may_be_silent_for_as_long_as_it_says() -> None:
    peer, _session, running = open_stream()
    peer.beat(silent_s=40.0)
    await after(40.0)
    assert not running.done()
    began_s = now_s()
    with pytest.raises(Silent):
        await running
    assert now_s() - began_s <= PATIENCE_S + EVERY_S


@on_virtual_time
async def test_nobody_excuses_himself_for_longer_than_a_minute() -> None:
    peer, _session, running = open_stream()
    peer.beat(silent_s=1e9)
    began_s = now_s()
    with pytest.raises(Silent):
        await running
    assert now_s() - began_s <= 60.0 + PATIENCE_S + EVERY_S


@on_virtual_time
async def test_the_hub_says_beforehand_that_large_questions_follow() -> None:
    peer, session, running = open_stream()
    asking = ask(session, b'{"a":"%s"}' % (b"x" * 2 * 1024 * 1024))
    await all_has_run()
    assert [kind for _, kind in peer.heard] == ["welcome", "heartbeat", "questions"]
    assert 8.0 <= peer.silent_for_s[0] < 8.1
    peer.answer(1)
    await asking
    await ended(running)


def test_only_large_messages_are_worth_a_word() -> None:
    assert [silence_s(size) for size in (0, 1024 * 1024 - 1, 16 * 1024 * 1024, 10**12)] == [0.0, 0.0, 60.0, 60.0]


class Counted:
    """A stream that counts what its pulse does."""

    def __init__(self) -> None:
        self.beats = 0
        self.losses = 0

    def beat(self) -> None:
        self.beats += 1

    def silent(self) -> None:
        self.losses += 1


async def test_a_hub_that_was_stopped_itself_blames_nobody() -> None:
    counted = Counted()
    pulse = Pulse(0.1, counted)
    pulse.start()
    # As SIGSTOP does: time passes, and what has arrived meanwhile is not read yet.
    time.sleep(1.0)  # noqa: ASYNC251 - the loop has to be blocked.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert counted.losses == 0
    pulse.stop()


@pytest.mark.parametrize(
    ("limit", "size", "refused"),
    [(0, 4 * 1024 * 1024, True), (0, 1024 * 1024, False), (100, 101, True), (100, 100, False)],
    ids=["beyond gRPC's own limit", "within it", "beyond what it says", "what it says"],
)
@on_virtual_time
async def test_an_input_that_the_backend_cannot_read_is_refused_and_not_sent(
    limit: int, size: int, *, refused: bool
) -> None:
    peer, session, running = open_stream(0.0, limit)
    asking = ask(session, b"x" * size)
    await all_has_run()
    if refused:
        with pytest.raises(InvalidInput, match=f"the input has {size} bytes; this backend accepts at most"):
            await asking
        assert peer.times("questions") == []
    else:
        peer.answer(1)
        await asking
    await ended(running)


async def next_of(attached: Attached, kind: str) -> registry_pb2.AttachResponse:
    """The next message of a kind; only heartbeats may come before it."""
    while (message := await attached.read()).WhichOneof("kind") != kind:
        assert message.WhichOneof("kind") == "heartbeat"
    return message


async def test_the_welcome_says_how_often_to_who_asks() -> None:
    async with reachable(route(), heartbeat_s=0.5) as hub, stream(hub) as new, stream(hub) as old:
        welcome = await new.hello(heartbeats=True)
        assert welcome.heartbeat.ToMilliseconds() == 500
        assert not (await old.hello(instance="two")).HasField("heartbeat")
        await next_of(new, "heartbeat")


async def test_the_question_of_a_silent_backend_is_asked_elsewhere_without_a_warning() -> None:
    async with reachable(route(), heartbeat_s=0.1) as hub, stream(hub) as frozen, stream(hub) as other:
        await frozen.hello(heartbeats=True)
        asking = hub.service.asking()
        await next_of(frozen, "questions")
        await other.hello(instance="two")
        (question,) = await other.questions()
        await other.answer(answer(question.id))
        assert await asking == [{"a": "1"}]
        left = await hub.service.events.first(InstanceLeft)
        assert (left.instance, left.cause) == ("one", "it sent nothing for 0.5 s, not even a heartbeat")
        assert len(hub.service.events.of(AskRetried)) == 1
        assert hub.service.events.of(RegistrationRefused) == []
        with suppress(grpc.aio.AioRpcError):
            while await frozen.call.read() is not grpc.aio.EOF:
                pass
        assert await frozen.call.code() is grpc.StatusCode.UNAVAILABLE
        assert (await frozen.call.details()).startswith("no sign of life: it sent nothing for 0.5 s")

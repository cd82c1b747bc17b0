"""Heartbeats on an attached stream, from the backend's side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
from appset_hub import Backend, Connection, Pace, Question, running
from appset_hub.v1 import backend_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

QUICK = Pace(first_retry_s=0.01, longest_retry_s=0.05, resolve_s=0.05)


class ScriptedHub(registry_pb2_grpc.RegistryServiceServicer):
    """Welcomes whoever says hello, and notes what comes; written on nothing but the stubs.

    `every_s` is how often it wants heartbeats (0: it does not know them), `beats` whether it sends them itself.
    """

    def __init__(self, *, every_s: float, beats: bool = True) -> None:
        self.every_s = every_s
        self.beats = beats
        self.hellos: asyncio.Queue[registry_pb2.Hello] = asyncio.Queue()
        self.heartbeats: asyncio.Queue[float] = asyncio.Queue()
        self.answers: asyncio.Queue[registry_pb2.Answer] = asyncio.Queue()
        self.kinds: list[str] = []
        self.context: Any = None

    async def Register(self, request: object, context: object) -> registry_pb2.RegisterResponse:  # noqa: N802 - as below.
        raise NotImplementedError

    async def Deregister(self, request: object, context: object) -> registry_pb2.DeregisterResponse:  # noqa: N802 - as below.
        raise NotImplementedError

    async def Attach(  # type: ignore[override]  # noqa: N802 - reads and writes on the context, as gRPC allows.
        self, _: Any, context: Any
    ) -> None:
        self.context = context
        hello = (await context.read()).hello
        welcome = registry_pb2.Welcome(hub_instance="scripted", max_in_flight=8, max_answer_bytes=32 * 1024 * 1024)
        if self.every_s:
            welcome.heartbeat.FromMilliseconds(int(self.every_s * 1000))
        await context.write(registry_pb2.AttachResponse(welcome=welcome))
        # As it is now: a test may change it as soon as it knows of the hello.
        beating = asyncio.create_task(self._beat(context, beats=self.beats))
        self.hellos.put_nowait(hello)
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                self._note(message)
        finally:
            beating.cancel()

    async def _beat(self, context: Any, *, beats: bool) -> None:
        while beats:
            await asyncio.sleep(self.every_s or 0.05)
            await context.write(registry_pb2.AttachResponse(heartbeat=registry_pb2.Heartbeat()))

    def _note(self, message: registry_pb2.AttachRequest) -> None:
        self.kinds.append(message.WhichOneof("kind") or "")
        if message.HasField("heartbeat"):
            self.heartbeats.put_nowait(message.heartbeat.silent_for.ToMilliseconds() / 1000)
        for answer in message.answers.answers:
            self.answers.put_nowait(answer)

    async def ask(self, **parameters: str) -> None:
        request = backend_pb2.GetParamsRequest(application_set_name="fb-1", input_parameters_json=b"{}", **parameters)
        question = registry_pb2.Question(id=1, request=request)
        question.time_left.FromSeconds(20)
        await self.context.write(registry_pb2.AttachResponse(questions=registry_pb2.Questions(questions=[question])))

    async def drop(self) -> None:
        with contextlib.suppress(grpc.aio.AbortError):
            await self.context.abort(grpc.StatusCode.UNAVAILABLE, "cut")


@contextlib.asynccontextmanager
async def attached(hub: ScriptedHub, function: Any = None) -> AsyncIterator[None]:
    """Serve the hub and a backend that is attached to it."""

    async def nothing(_question: Question) -> list[dict[str, Any]]:
        return []

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(hub, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        connection = Connection(hub=f"127.0.0.1:{port}", pace=QUICK)
        async with running(Backend(function=function or nothing, name="images"), connection) as backend:
            await backend.attached()
            yield
    finally:
        await server.stop(None)


async def test_a_hub_that_knows_heartbeats_gets_them_while_there_is_nothing_else() -> None:
    hub = ScriptedHub(every_s=0.1)
    async with attached(hub):
        hello = await hub.hellos.get()
        assert hello.heartbeats
        assert hello.max_input_bytes == 64 * 1024 * 1024
        for _ in range(3):
            assert await hub.heartbeats.get() == 0
        assert set(hub.kinds) == {"heartbeat"}


async def test_a_hub_that_does_not_know_heartbeats_gets_none() -> None:
    hub = ScriptedHub(every_s=0.0, beats=False)
    async with attached(hub):
        await hub.hellos.get()
        await hub.ask()
        await hub.answers.get()
        assert hub.kinds == ["answers"]


async def test_a_plain_function_that_blocks_keeps_no_heartbeat_back() -> None:
    def slow(_question: Question) -> list[dict[str, Any]]:
        time.sleep(0.5)
        return []

    hub = ScriptedHub(every_s=0.1)
    async with attached(hub, slow):
        await hub.hellos.get()
        await hub.ask()
        await hub.answers.get()
        assert hub.kinds.count("heartbeat") >= 3
        assert hub.hellos.empty(), "it stayed attached"


async def test_an_async_function_that_blocks_is_said_to_do_so(caplog: pytest.LogCaptureFixture) -> None:
    async def rude(_question: Question) -> list[dict[str, Any]]:
        time.sleep(0.4)  # noqa: ASYNC251 - the mistake under test
        return []

    hub = ScriptedHub(every_s=0.1)
    async with attached(hub, rude):
        await hub.hellos.get()
        await hub.ask()
        await hub.answers.get()
        await hub.heartbeats.get()
    assert "the event loop was blocked for 0." in caplog.text
    assert "make the function a plain one" in caplog.text
    assert hub.hellos.empty(), "it was late once, and the hub is not to blame"


async def test_before_a_large_answer_the_hub_hears_that_it_takes_a_while() -> None:
    def large(_question: Question) -> list[dict[str, Any]]:
        return [{"a": "x" * 4 * 1024 * 1024}]

    hub = ScriptedHub(every_s=5.0, beats=False)
    async with attached(hub, large):
        await hub.hellos.get()
        await hub.ask()
        await hub.answers.get()
        assert 16.0 <= await hub.heartbeats.get() < 17.0
        assert hub.kinds == ["heartbeat", "answers"]


async def test_a_silent_hub_is_left_and_attached_to_again_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hub = ScriptedHub(every_s=0.3, beats=False)
    async with attached(hub):
        await hub.hellos.get()
        hub.beats = True
        await hub.hellos.get()
        await hub.heartbeats.get()
    assert "nothing was heard from the hub for 1.5 s, not even a heartbeat" in caplog.text
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_whatever_the_hub_says_is_a_sign_of_life() -> None:
    hub = ScriptedHub(every_s=0.2, beats=False)
    async with attached(hub):
        await hub.hellos.get()
        for _ in range(5):
            await asyncio.sleep(0.4)  # Well within a second, in which something has to be heard.
            await hub.ask()
            await hub.answers.get()
        assert hub.hellos.empty(), "it stayed attached"


async def test_a_stream_that_is_cut_at_once_is_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hub = ScriptedHub(every_s=0.3)
    async with attached(hub):
        await hub.hellos.get()
        await hub.drop()
        await hub.hellos.get()
    assert "not attached to the hub at " in caplog.text

"""How an attached backend comes, stays and goes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from appset_hub import Backend, Connection, Pace, Question, run, running
from appset_hub.addresses import Addresses
from appset_hub.testing import FakeHub, harness
from appset_hub.v1 import backend_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

QUICK = Pace(first_retry_s=0.01, longest_retry_s=0.05, refused_retry_s=0.01, resolve_s=0.05)
BATCH_BYTES = 4 * 1024 * 1024


async def echo(question: Question) -> list[dict[str, Any]]:
    return [{"name": question.application_set_name}]


def backend(**more: Any) -> Backend:
    return Backend(**{"function": echo, "name": "images", "application_sets": ["fb-*"], **more})


class Gate:
    """A function that answers when it is let, and notes what it sees."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, _question: Question) -> list[dict[str, Any]]:
        self.started.set()
        await self.open.wait()
        return [{"a": 1}]


@contextlib.asynccontextmanager
async def raw_hub(servicer: registry_pb2_grpc.RegistryServiceServicer) -> AsyncIterator[str]:
    """Serve a hub that was written on nothing but the stubs."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class Script(registry_pb2_grpc.RegistryServiceServicer):
    """Asks `inputs` at once, and notes every message until all are answered. Written on nothing but the stubs."""

    def __init__(self, inputs: list[bytes]) -> None:
        self.inputs = inputs
        self.messages: list[registry_pb2.AttachRequest] = []
        self.done = asyncio.Event()

    async def Register(self, request: object, context: object) -> registry_pb2.RegisterResponse:  # noqa: N802 - as below.
        raise NotImplementedError

    async def Deregister(self, request: object, context: object) -> registry_pb2.DeregisterResponse:  # noqa: N802 - as below.
        raise NotImplementedError

    async def Attach(  # type: ignore[override]  # noqa: N802 - the stubs' name; they do not tell that it is awaited.
        self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        self.messages.append(await context.read())
        welcome = registry_pb2.Welcome(hub_instance="raw", max_in_flight=99, max_answer_bytes=16 * 1024 * 1024)
        await context.write(registry_pb2.AttachResponse(welcome=welcome))
        questions = registry_pb2.Questions(
            questions=[
                registry_pb2.Question(
                    id=number, request=backend_pb2.GetParamsRequest(input_parameters_json=one, application_set_name="a")
                )
                for number, one in enumerate(self.inputs, 1)
            ]
        )
        await context.write(registry_pb2.AttachResponse(questions=questions))
        while sum(len(message.answers.answers) for message in self.messages) < len(self.inputs):
            self.messages.append(await context.read())
        self.done.set()


async def test_the_greeting_says_everything() -> None:
    script = Script([b"{}"])
    schema = {"type": "object"}
    served = backend(version="1.2", instance="one", input_schema=schema, max_in_flight=7)
    async with raw_hub(script) as address, running(served, Connection(hub=address)):
        await script.done.wait()
    hello = script.messages[0].hello.backend
    assert (hello.name, hello.instance, hello.version, hello.max_in_flight) == ("images", "one", "1.2", 7)
    assert (list(hello.application_sets), hello.input_schema_json) == (["fb-*"], b'{"type": "object"}')


async def test_what_is_answered_together_leaves_together() -> None:
    script = Script([b"{}"] * 500)
    async with raw_hub(script) as address, running(backend(), Connection(hub=address)):
        await script.done.wait()
    answers = [answer for message in script.messages[1:] for answer in message.answers.answers]
    assert sorted(answer.question_id for answer in answers) == list(range(1, 501))
    assert all(answer.response.parameters_json == b'[{"name":"a"}]' for answer in answers)
    assert len(script.messages) < 50


async def test_a_message_stays_under_four_mebibytes_and_a_larger_answer_travels_alone() -> None:
    async def sized(question: Question) -> list[dict[str, Any]]:
        return [{"a": "x" * question.parameters["size"]}]

    sizes = [1, 3_000_000, 3_000_000, 6_000_000, 1, 1]
    script = Script([b'{"size": %d}' % size for size in sizes])
    async with raw_hub(script) as address, running(backend(function=sized), Connection(hub=address)):
        await script.done.wait()
    for message in script.messages[1:]:
        assert message.ByteSize() < BATCH_BYTES or len(message.answers.answers) == 1


@pytest.mark.parametrize("wrong", [b"", b"[]", b"{", b"\xff", "{}".encode("utf-16")])
async def test_a_question_that_is_no_json_object_is_refused(wrong: bytes) -> None:
    script = Script([wrong])
    async with raw_hub(script) as address, running(backend(), Connection(hub=address)):
        await script.done.wait()
    [answer] = script.messages[1].answers.answers
    assert answer.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_lost_stream_is_taken_up_again_within_a_second() -> None:
    async with harness(backend()) as hub, asyncio.timeout(1):
        hub.drop()
        await hub.attached(0)
        await hub.attached(1)
        assert await hub.ask("fb-1") == [{"name": "fb-1"}]


async def test_a_hub_that_comes_late_and_restarts_is_found_within_a_second() -> None:
    hub = FakeHub()
    async with hub.serving():
        address, port = hub.address, hub.port
    async with running(backend(), Connection(hub=address)) as served:
        for _ in range(2):
            async with hub.serving(port), asyncio.timeout(1.5):
                await served.attached()
                await hub.attached(1)
                assert await hub.ask("fb-1") == [{"name": "fb-1"}]


async def test_a_drained_stream_finishes_beside_a_new_one() -> None:
    gate = Gate()
    async with harness(backend(function=gate)) as hub:
        asked = asyncio.create_task(hub.ask("fb-1"))
        await gate.started.wait()
        hub.drain()
        old, new = await hub.attached(2)
        assert old is not new
        gate.open.set()
        assert await asked == [{"a": 1}]


async def test_leaving_finishes_what_is_in_flight() -> None:
    gate, stop, hub = Gate(), asyncio.Event(), FakeHub()
    async with hub.serving():
        served = asyncio.create_task(run(backend(function=gate), Connection(hub=hub.address), stop=stop))
        [stream] = await hub.attached()
        asked = asyncio.create_task(hub.ask("fb-1"))
        await gate.started.wait()
        stop.set()
        await stream.leaving.wait()
        gate.open.set()
        assert await asked == [{"a": 1}]
        await served
        assert hub.streams == []


async def test_leaving_waits_no_longer_than_the_grace() -> None:
    gate, stop, hub = Gate(), asyncio.Event(), FakeHub()
    async with hub.serving():
        connection = Connection(hub=hub.address, grace_s=0.05)
        served = asyncio.create_task(run(backend(function=gate), connection, stop=stop))
        await hub.attached()
        asked = asyncio.create_task(hub.ask("fb-1"))
        await gate.started.wait()
        stop.set()
        async with asyncio.timeout(2):
            await served
        asked.cancel()


async def test_the_token_is_read_again_at_every_attempt(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    hub = FakeHub()
    async with hub.serving(), running(backend(), Connection(hub=hub.address, token_file=file, pace=QUICK)):
        [stream] = await hub.attached()
        assert stream.metadata["authorization"] == "Bearer first"
        file.write_text("second")
        hub.drop()
        await hub.attached(0)
        [stream] = await hub.attached(1)
        assert stream.metadata["authorization"] == "Bearer second"


async def test_a_refusal_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    hub = FakeHub()
    hub.refusal = grpc.StatusCode.PERMISSION_DENIED
    async with hub.serving(), running(backend(), Connection(hub=hub.address, pace=QUICK)):
        await hub.refused(3)
        hub.refusal = None
        await hub.attached()
    assert caplog.text.count("PERMISSION_DENIED") == 1


async def test_every_address_of_the_hub_gets_a_stream_and_one_process_keeps_one() -> None:
    """`localhost` leads to IPv4 and IPv6 where both are; one process of the hub may listen on both."""
    hub = FakeHub()
    async with hub.serving():
        connection = Connection(hub=f"localhost:{hub.port}", pace=QUICK)
        async with running(backend(), connection):
            await hub.attached(1)
            assert await hub.ask("fb-1") == [{"name": "fb-1"}]


class Kept:
    """A companion that only lives."""

    def __init__(self) -> None:
        self.wanted = True
        self.left = asyncio.Event()

    async def run(self) -> None:
        await self.left.wait()

    def leave(self) -> None:
        self.left.set()


async def test_addresses_come_and_go_with_the_hubs_name() -> None:
    answers = [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.3"]]
    kept: dict[str, Kept] = {}
    third = asyncio.Event()

    async def resolve(_host: str, port: int) -> set[str]:
        hosts = answers.pop(0) if len(answers) > 1 else answers[0]
        return {f"ipv4:{host}:{port}" for host in hosts}

    def companion(target: str) -> Kept:
        kept[target] = Kept()
        if target == "ipv4:10.0.0.3:1":
            third.set()
        return kept[target]

    addresses = Addresses("hub:1", pace=Pace(resolve_s=0.001), companion=companion, resolve=resolve)
    running_on = asyncio.create_task(addresses.run())
    await third.wait()
    assert {target: one.wanted for target, one in kept.items()} == {
        "ipv4:10.0.0.1:1": False,
        "ipv4:10.0.0.2:1": True,
        "ipv4:10.0.0.3:1": True,
    }
    addresses.leave()
    await running_on


async def test_a_name_service_that_is_away_takes_no_stream_down(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[Kept] = []
    failed = asyncio.Event()

    async def resolve(_host: str, port: int) -> set[str]:
        if kept:
            failed.set()
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return {f"ipv4:10.0.0.1:{port}"}

    def companion(_target: str) -> Kept:
        kept.append(Kept())
        return kept[-1]

    addresses = Addresses("hub:1", pace=Pace(resolve_s=0.001), companion=companion, resolve=resolve)
    running_on = asyncio.create_task(addresses.run())
    await failed.wait()
    assert kept[0].wanted
    assert not kept[0].left.is_set()
    addresses.leave()
    await running_on
    assert "cannot resolve" in caplog.text


async def test_two_addresses_of_one_process_do_not_take_turns() -> None:
    """The same hub behind two ports stands for one process found under two addresses."""
    hub = FakeHub()
    async with hub.serving():
        first = hub.port
        async with hub.serving():
            targets = {f"ipv4:127.0.0.1:{first}", f"ipv4:127.0.0.1:{hub.port}"}

            async def resolve(_host: str, _port: int) -> set[str]:
                return targets

            async with running(backend(), Connection(hub="hub:1", pace=QUICK), resolve=resolve):
                await hub.opened(2)
                await hub.attached(1)
                for _ in range(200):
                    assert await hub.ask("fb-1") == [{"name": "fb-1"}]
                assert hub.openings == 2
                hub.drop()
                await hub.opened(3)
                await hub.attached(1)

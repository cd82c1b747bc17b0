"""Dialled instances that freeze, hang or are only slow, over real gRPC."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import backend_pb2, backend_pb2_grpc
from grpc_health.v1 import health_pb2_grpc

from hub.core.deadline import Deadline
from hub.core.directory import BackendInfo
from hub.rpc.dial import ChannelDialler, DialSecurity
from hub.rpc.link import DialledLink, Patience
from hub.service.ports import Ask, InstanceLost, RawAnswer, TimedOut, Unresponsive
from tests.support.health import Health
from tests.support.rpc import RawBackend
from tests.support.swallowing import swallowing_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INFO = BackendInfo(name="legacy", instance="one")
# Short, so that the tests are; a busy machine still answers a health check within a second.
PATIENCE = Patience(check_after_s=0.3, give_up_s=1.2, answer_s=1.0, retry_s=0.1)
SDK_BACKEND = Path(__file__).parents[1] / "e2e" / "support" / "backends" / "sdk_backend.py"


class Observer:
    """Hears how the instance is, and lets a test wait for it."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self._changed = asyncio.Condition()

    def reachable(self, *, yes: bool) -> None:
        self._hear("ready" if yes else "absent")

    def unresponsive(self) -> None:
        self._hear("unresponsive")

    def _hear(self, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)
            self._told = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def seen(self, *states: str) -> None:
        """Wait until these were the last states."""
        async with self._changed:
            await self._changed.wait_for(lambda: tuple(self.states[-len(states) :]) == states)


@asynccontextmanager
async def served(backend: RawBackend, health: Health | None) -> AsyncIterator[int]:
    server = grpc.aio.server()
    backend_pb2_grpc.add_BackendServiceServicer_to_server(backend, server)
    if health is not None:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@asynccontextmanager
async def dialled(
    port: int, observer: Observer, patience: Patience = PATIENCE, token: str = ""
) -> AsyncIterator[DialledLink]:
    clock = asyncio.get_running_loop().time
    security = {"legacy": DialSecurity(token=token)}
    async with ChannelDialler(clock, max_answer_bytes=1024, security=security, patience=patience) as dialler:
        yield dialler.dial(INFO, f"127.0.0.1:{port}", observer)


async def ask(link: DialledLink, within_s: float = 20.0, **parameters: float) -> RawAnswer:
    text = ",".join(f'"{key}":{value}' for key, value in parameters.items())
    question = Ask(
        application_set_name="fb-1", application_set_namespace="", input_json=f"{{{text}}}".encode(), request_id="id-1"
    )
    return await link.ask(question, Deadline(asyncio.get_running_loop().time() + within_s))


def slow(seconds: float) -> Any:
    async def behaviour(_request: Any, _context: Any) -> backend_pb2.GetParamsResponse:
        await asyncio.sleep(seconds)  # What is tested is that this long silence does no harm.
        return backend_pb2.GetParamsResponse(parameters_json=b"[]")

    return behaviour


async def hangs(_request: Any, _context: Any) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def backend_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A backend on the SDK, as a process that can be frozen."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, SDK_BACKEND, "--name", "legacy", "--listen", "127.0.0.1:0", stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async for line in process.stderr:
            if b"listening on port" in line:
                yield process, int(line.split()[-1])
                break
    finally:
        process.kill()
        await process.wait()


async def test_a_frozen_process_gets_no_more_questions_until_it_goes_on() -> None:
    observer = Observer()
    async with backend_process() as (process, port), dialled(port, observer) as link:
        await observer.seen("ready")
        assert (await ask(link)).sets_json == b'[{"from":"legacy"}]'
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unresponsive):
            await ask(link)
        assert observer.states[-1] == "unresponsive"
        with pytest.raises(Unresponsive):
            await ask(link)
        process.send_signal(signal.SIGCONT)
        await observer.seen("unresponsive", "ready")
        assert (await ask(link)).sets_json == b'[{"from":"legacy"}]'


async def test_a_process_that_froze_during_a_short_deadline_is_noticed_after_it() -> None:
    observer = Observer()
    async with backend_process() as (process, port), dialled(port, observer) as link:
        await observer.seen("ready")
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(TimedOut):
            await ask(link, 0.1)
        await observer.seen("unresponsive")
        process.send_signal(signal.SIGCONT)
        await observer.seen("unresponsive", "ready")


@pytest.mark.parametrize(
    "health", [Health(), Health("not serving"), None], ids=["serving", "not serving", "without a health service"]
)
async def test_one_slow_question_takes_nothing_from_the_only_instance(health: Health | None) -> None:
    backend, observer = RawBackend(), Observer()
    backend.behaviour = slow(2.5)
    async with served(backend, health) as port, dialled(port, observer, token="hub-token") as link:
        assert (await ask(link)).sets_json == b"[]"
        assert observer.states == ["absent", "ready"]
    if health is not None:
        assert 3 <= health.calls <= 9, "one after each silence, and one connection"
        assert health.metadata["authorization"] == "Bearer hub-token"


async def test_a_busy_process_that_cannot_answer_is_given_time() -> None:
    backend, observer, health = RawBackend(), Observer(), Health("nothing")
    backend.behaviour = slow(3.0)
    patience = Patience(check_after_s=0.3, give_up_s=20.0, answer_s=0.5, retry_s=0.1)
    async with served(backend, health) as port, dialled(port, observer, patience) as link:
        assert (await ask(link)).sets_json == b"[]"
        assert observer.states == ["absent", "ready"]
    assert health.calls >= 2


@pytest.mark.parametrize("health", ["nothing", "unavailable"])
async def test_what_only_takes_connections_is_given_up_in_the_end(health: str) -> None:
    backend, observer, service = RawBackend(), Observer(), Health(health)
    backend.behaviour = hangs
    async with served(backend, service) as port, dialled(port, observer) as link:
        with pytest.raises(Unresponsive):
            await ask(link)
        await backend.cancelled.wait()
        backend.behaviour, service.answers = backend.one, "serving"
        await observer.seen("unresponsive", "ready")
        assert (await ask(link)).sets_json == b'[{"a":"1"}]'


async def test_while_other_questions_are_answered_nothing_is_checked() -> None:
    backend, observer, health = RawBackend(), Observer(), Health("nothing")
    async with served(backend, health) as port, dialled(port, observer) as link:
        await observer.seen("ready")
        backend.behaviour = slow(0.05)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 2.5
        while loop.time() < until_s:
            await asyncio.gather(ask(link), ask(link))
    assert health.calls == 0
    assert "unresponsive" not in observer.states


async def test_a_question_on_a_connection_that_carries_nothing_is_lost_and_the_next_one_is_not() -> None:
    backend, observer = RawBackend(), Observer()
    async with (
        served(backend, Health()) as port,
        swallowing_proxy(port) as proxy,
        dialled(proxy.port, observer) as link,
    ):
        await observer.seen("ready")
        proxy.swallow_open_ones()
        with pytest.raises(InstanceLost) as lost:
            await ask(link)
        assert not isinstance(lost.value, Unresponsive)
        assert (await ask(link)).sets_json == b'[{"a":"1"}]'
        assert "unresponsive" not in observer.states


async def test_a_way_that_swallows_everything_is_given_up_until_it_does_not() -> None:
    backend, observer = RawBackend(), Observer()
    async with (
        served(backend, Health()) as port,
        swallowing_proxy(port) as proxy,
        dialled(proxy.port, observer) as link,
    ):
        await observer.seen("ready")
        proxy.swallow_all()
        with pytest.raises(Unresponsive):
            await ask(link)
        proxy.pass_again()
        await observer.seen("unresponsive", "ready")
        assert (await ask(link)).sets_json == b'[{"a":"1"}]'


async def test_a_caller_who_hangs_up_on_a_hanging_question_is_not_held_up() -> None:
    backend, observer = RawBackend(), Observer()
    backend.behaviour = hangs
    async with served(backend, None) as port, dialled(port, observer) as link:
        asking = asyncio.ensure_future(ask(link))
        await backend.started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await backend.cancelled.wait()


async def test_a_question_that_hangs_on_a_link_that_is_closed_is_given_up_all_the_same() -> None:
    observer = Observer()
    async with backend_process() as (process, port), dialled(port, observer) as link:
        await observer.seen("ready")
        process.send_signal(signal.SIGSTOP)
        asking = asyncio.ensure_future(ask(link))
        await asyncio.sleep(0)  # It is on its way.
        link.close()
        with pytest.raises(Unresponsive):
            await asking


async def test_a_link_that_ends_while_its_instance_is_silent_ends_at_once() -> None:
    observer = Observer()
    async with backend_process() as (process, port):
        async with dialled(port, observer) as link:
            await observer.seen("ready")
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(Unresponsive):
                await ask(link)
            link.close()
            heard = list(observer.states)
        process.send_signal(signal.SIGCONT)
        assert observer.states == heard

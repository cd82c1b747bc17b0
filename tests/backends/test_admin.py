"""The port on which a bundled backend tells how it is."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
from appset_hub import Backend, Connection, InvalidInput, Question, running
from appset_hub.testing import FakeHub
from prometheus_client.parser import text_string_to_metric_families

from backends.admin import QuestionMetrics, admin_port
from backends.mistakes import Mistake
from tests.backends.test_cli import command

HELLO = Path(__file__).parents[2] / "examples" / "quickstart" / "hello.yaml"


def free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


async def get(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as response:
        return response.status, await response.text()


async def counted(address: str) -> dict[str, float]:
    _, text = await get(address, "/metrics")
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "appset_hub_plugin_questions_total"
    }


async def test_a_backend_is_ready_while_a_hub_is_attached() -> None:
    hub, address = FakeHub(), free_address()
    async with hub.serving():
        options = ("--hub", hub.address, "--name", "hello", "--admin", address)
        async with command("static", "--config", HELLO, *options) as process:
            await hub.attached()
            assert (await get(address, "/livez"))[0] == 200
            # The hub knows of it a moment before the hub's welcome is here.
            async with asyncio.timeout(5):
                while (await get(address, "/readyz"))[0] != 200:  # noqa: ASYNC110 - another process is waited for.
                    await asyncio.sleep(0.01)
            assert process.returncode is None


async def test_without_a_hub_it_lives_and_is_not_ready() -> None:
    backend = Backend(function=nothing, name="hello")
    metrics, address = QuestionMetrics("static"), free_address()
    async with (
        running(backend, Connection(hub=free_address())) as served,
        admin_port(address, metrics, served),
    ):
        assert (await get(address, "/livez"))[0] == 200
        status, text = await get(address, "/readyz")
        assert (status, text) == (503, '{"ready": false, "missing": ["no hub is attached"]}')


async def nothing(_: Question) -> list[dict[str, str]]:
    return []


async def test_questions_are_counted_by_their_outcome() -> None:
    metrics, address, hub = QuestionMetrics("static"), free_address(), FakeHub()

    async def answering(question: Question) -> list[dict[str, str]]:
        match question.parameters["do"]:
            case "refuse":
                raise InvalidInput("no", path="$.do")
            case "break":
                raise ZeroDivisionError
        return [{"a": "b"}]

    backend = Backend(function=metrics.measured(answering), name="hello", application_sets=("*",))
    async with (
        hub.serving(),
        running(backend, Connection(hub=hub.address)) as served,
        admin_port(address, metrics, served),
    ):
        await served.attached()
        for what in ("answer", "answer", "refuse", "break"):
            await asyncio.wait([asyncio.ensure_future(hub.ask("x", {"do": what}))])
        assert await counted(address) == {"ok": 2, "InvalidInput": 1, "exception": 1}


@pytest.mark.parametrize("address", ["here", "127.0.0.1:", "127.0.0.1:x"])
async def test_an_address_that_is_none_is_a_mistake(address: str) -> None:
    async with running(Backend(function=nothing, name="hello"), Connection(hub=free_address())) as served:
        with pytest.raises(Mistake, match=r"^--admin: "):
            async with admin_port(address, QuestionMetrics("static"), served):
                pass

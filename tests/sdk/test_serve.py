"""`serve` as a script calls it: a process of its own, ended by signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from appset_hub import BackendFault, NotReady
from appset_hub.testing import FakeHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SCRIPT = """
import asyncio, logging, sys
import appset_hub

logging.basicConfig(level=logging.INFO)

async def slow(question):
    if "interrupt" in question.parameters:
        raise KeyboardInterrupt
    if "exit" in question.parameters:
        await asyncio.create_task(leave())
    if "hang" in question.parameters:
        await asyncio.Event().wait()
    await asyncio.sleep(question.parameters.get("sleep_s", 0))
    return [{"name": question.application_set_name}]

async def leave():
    sys.exit(7)

appset_hub.serve(slow, name="slow", application_sets=["fb-*"], hub=sys.argv[1])
"""


@contextlib.asynccontextmanager
async def script(tmp_path: Path, hub: FakeHub) -> AsyncIterator[asyncio.subprocess.Process]:
    file = tmp_path / "slow.py"
    file.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), hub.address, stderr=asyncio.subprocess.PIPE
    )
    try:
        await hub.attached()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_well_after_what_is_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    hub = FakeHub()
    async with hub.serving(), script(tmp_path, hub) as process:
        [stream] = hub.streams
        asked = asyncio.create_task(hub.ask("fb-1", {"sleep_s": 0.5}))
        assert await hub.ask("fb-2") == [{"name": "fb-2"}]
        process.send_signal(number)
        await stream.leaving.wait()
        assert not asked.done()
        assert await asked == [{"name": "fb-1"}]
        assert await process.wait() == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    hub = FakeHub()
    async with hub.serving(), script(tmp_path, hub) as process:
        [stream] = hub.streams
        asked = asyncio.create_task(hub.ask("fb-1", {"hang": True}))
        await hub.ask("fb-2")
        process.send_signal(signal.SIGTERM)
        await stream.leaving.wait()
        process.send_signal(signal.SIGTERM)
        with pytest.raises((NotReady, BackendFault)):
            await asked
        async with asyncio.timeout(5):
            await process.wait()


async def test_a_killed_backend_is_back_as_another_instance(tmp_path: Path) -> None:
    hub = FakeHub()
    async with hub.serving():
        async with script(tmp_path, hub):
            first = hub.streams[0].hello.instance
        await hub.attached(0)
        async with script(tmp_path, hub):
            assert hub.streams[0].hello.instance != first
            assert await hub.ask("fb-1") == [{"name": "fb-1"}]


@pytest.mark.parametrize(
    ("parameters", "said", "code"),
    [
        pytest.param({"interrupt": True}, "the function failed with KeyboardInterrupt (request", -2, id="an interrupt"),
        pytest.param({"exit": True}, "sys.exit was called in a task that the function started", 7, id="a task's exit"),
    ],
)
async def test_what_does_end_the_process_is_logged_first(
    tmp_path: Path, parameters: dict[str, bool], said: str, code: int
) -> None:
    hub = FakeHub()
    async with hub.serving(), script(tmp_path, hub) as process:
        with pytest.raises((NotReady, BackendFault)):
            await hub.ask("fb-1", parameters)
        _, errors = await process.communicate()
    assert said in errors.decode()
    assert process.returncode == code


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        pytest.param("localhost", 'hub: "localhost": the port is missing', id="no port"),
        pytest.param("http://hub:4355", 'did you mean "hub:4356"?', id="a web address"),
    ],
)
async def test_a_script_with_wrong_settings_ends_with_one_line_and_exit_code_two(
    tmp_path: Path, hub: str, message: str
) -> None:
    file = tmp_path / "slow.py"
    file.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), hub, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    [line] = errors.decode().splitlines()
    assert line.startswith("ERROR:appset_hub:cannot start: ")
    assert message in line
    assert (said, process.returncode) == (b"", 2)

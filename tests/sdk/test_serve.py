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
import asyncio, sys
import appset_hub

async def slow(question):
    if "hang" in question.parameters:
        await asyncio.Event().wait()
    await asyncio.sleep(question.parameters.get("sleep_s", 0))
    return [{"name": question.application_set_name}]

appset_hub.serve(slow, name="slow", application_sets=["fb-*"], hub=sys.argv[1])
"""


@contextlib.asynccontextmanager
async def script(tmp_path: Path, hub: FakeHub) -> AsyncIterator[asyncio.subprocess.Process]:
    file = tmp_path / "slow.py"
    file.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(sys.executable, str(file), hub.address)
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

"""Work in another process: what comes back, what ends it, and that it never outlives the hub."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from operator import mul

import pytest

from hub.apart.processes import Processes
from hub.core.answer import Limits, check
from hub.core.errors import AnswerRefused
from hub.service.ports import WorkLost

WITHIN_S = 30.0


def using(mib: int) -> partial[int]:
    """Work that needs so much memory."""
    return partial(eval, f"len(b'x' * ({mib} * 1024 * 1024))")


async def ends(pid: int) -> None:
    """Wait until there is no such process."""
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{pid} still runs")


async def test_a_function_runs_in_another_process() -> None:
    async with Processes(most=1) as processes:
        assert await processes.run(partial(mul, 2, 21)) == 42
        assert await processes.run(os.getpid) != os.getpid()


async def test_what_it_raises_is_raised_here() -> None:
    async with Processes(most=1) as processes:
        with pytest.raises(AnswerRefused, match='backend "b": set 1 of 1 is empty'):
            await processes.run(partial(check, b"[{}]", subject='backend "b"', limits=Limits()))
        # And it goes on.
        assert await processes.run(partial(mul, 2, 1)) == 2


async def test_one_process_does_one_after_the_other() -> None:
    async with Processes(most=2) as processes:
        assert await processes.run(os.getpid) == await processes.run(os.getpid)


async def test_an_idle_process_that_somebody_ended_loses_no_work() -> None:
    async with Processes(most=1) as processes:
        first = await processes.run(os.getpid)
        os.kill(first, signal.SIGKILL)
        # A process that has ended stays a child until it is waited for.
        await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert await processes.run(os.getpid) != first


async def test_processes_that_are_there_are_known_and_an_idle_one_can_be_ended() -> None:
    async with Processes(most=1) as processes:
        first = await processes.run(os.getpid)
        assert processes.pids() == [first]
        processes.shrink()
        assert processes.pids() == []
        await ends(first)


async def test_no_more_run_at_once_than_may() -> None:
    async with Processes(most=2) as processes:
        started_s = time.monotonic()
        await asyncio.gather(*(processes.run(partial(time.sleep, 0.2)) for _ in range(4)))
        assert time.monotonic() - started_s >= 0.4


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (partial(signal.raise_signal, signal.SIGKILL), "its process ended with signal 9"),
        (partial(signal.raise_signal, signal.SIGSEGV), "its process ended with signal 11"),
        (partial(os._exit, 3), "its process ended with exit code 3"),
    ],
    ids=["killed", "crashed", "exited"],
)
async def test_a_process_that_ends_loses_its_own_work_only(work: partial[None], words: str) -> None:
    async with Processes(most=2) as processes:
        other = asyncio.ensure_future(processes.run(partial(time.sleep, 0.5)))
        with pytest.raises(WorkLost, match=words):
            await processes.run(work)
        assert await processes.run(partial(mul, 2, 2)) == 4
        await other


async def test_whoever_cancels_the_work_ends_its_process() -> None:
    async with Processes(most=1) as processes:
        pid = await processes.run(os.getpid)
        working = asyncio.ensure_future(processes.run(partial(time.sleep, WITHIN_S)))
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        await ends(pid)
        assert await processes.run(partial(mul, 2, 3)) == 6


async def test_memory_beyond_the_limit_is_an_error_of_the_work() -> None:
    async with Processes(most=1, memory_bytes=512 * 1024 * 1024) as processes:
        with pytest.raises(MemoryError):
            await processes.run(using(1024))
        assert await processes.run(using(1)) == 1024 * 1024


async def test_a_process_that_used_much_memory_is_not_kept() -> None:
    async with Processes(most=1) as processes:
        pid = await processes.run(os.getpid)
        await processes.run(using(128))
        await ends(pid)


async def test_the_end_of_the_hub_ends_what_runs() -> None:
    async with Processes(most=1) as processes:
        pid = await processes.run(os.getpid)
        working = asyncio.ensure_future(processes.run(partial(time.sleep, WITHIN_S)))
        await asyncio.sleep(0.01)
    with pytest.raises(WorkLost):
        await working
    await ends(pid)


async def test_no_process_outlives_a_hub_that_is_killed() -> None:
    code = """
        import asyncio, os
        from hub.apart.processes import Processes

        async def main():
            async with Processes(most=1) as processes:
                print(await processes.run(os.getpid), flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
    """
    hub = subprocess.Popen(  # noqa: ASYNC220 - at once.
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    with hub:
        assert hub.stdout is not None
        pid = int(await asyncio.to_thread(hub.stdout.readline))
        hub.kill()
    await ends(pid)

"""What the hub does as its memory gets scarce; the memory is that of the process that runs the test."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

from hub.core.events import MemoryShort
from hub.telemetry.memory import MemoryWatch
from tests.support.fakes import FakeEvents

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024
WITHIN_S = 20.0


class Watched:
    """A watch, and what it did."""

    def __init__(self, budget_bytes: int | None) -> None:
        self.shrunk = 0
        self.short: list[bool] = []
        self.events = FakeEvents()
        self.children: list[int] = []
        self.watch = MemoryWatch(
            budget_bytes,
            shrink=self._shrink,
            short=self.short.append,
            children=lambda: self.children,
            events=self.events,
        )

    def _shrink(self) -> None:
        self.shrunk += 1


async def until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not happens():  # noqa: ASYNC110 - the watch looks by itself.
            await asyncio.sleep(0.01)


async def test_a_hub_that_takes_most_of_its_memory_shrinks_and_refuses_until_it_takes_less() -> None:
    watched = Watched(None)
    used_bytes = watched.watch.used_bytes
    watched.watch.budget_bytes = int(used_bytes / 0.95)
    task = asyncio.create_task(watched.watch.watch())
    await until(lambda: watched.short == [True])
    watched.watch.budget_bytes = used_bytes * 4
    await until(lambda: watched.short == [True, False])
    task.cancel()
    assert [one.short for one in watched.events.of(MemoryShort)] == [True, False]


async def test_a_hub_that_takes_three_quarters_shrinks_and_refuses_nothing() -> None:
    watched = Watched(None)
    watched.watch.budget_bytes = int(watched.watch.used_bytes / 0.8)
    task = asyncio.create_task(watched.watch.watch())
    await until(lambda: watched.shrunk > 0)
    task.cancel()
    assert watched.short == []


def test_the_processes_that_it_started_count() -> None:
    watched = Watched(None)
    before_bytes = watched.watch.used_bytes
    with subprocess.Popen(
        [sys.executable, "-c", "x = b'x' * (64 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        watched.children = [child.pid]
        assert watched.watch.used_bytes >= before_bytes + 60 * MIB
        child.kill()
    assert watched.watch.used_bytes < before_bytes + 60 * MIB

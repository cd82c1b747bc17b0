"""A loop that stands still is noticed, with where it stood."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry

from hub.core.events import LoopStalled
from hub.telemetry.logs import JsonLog
from hub.telemetry.metrics import Metrics
from hub.telemetry.stalls import StallWatch
from hub.telemetry.telemetry import Telemetry
from tests.support.fakes import FakeEvents


def work(seconds: float) -> None:
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


async def test_work_on_the_loop_is_a_stall_with_its_place() -> None:
    events = FakeEvents()
    async with StallWatch(events):
        await asyncio.sleep(0.05)
        work(0.4)
        stalled = await events.first(LoopStalled)
    assert stalled.seconds >= 0.3
    assert stalled.busy_s >= 0.3
    assert "test_stalls.py" in stalled.where
    assert "work" in stalled.where


async def test_a_loop_that_only_waits_was_not_busy() -> None:
    events = FakeEvents()
    async with StallWatch(events):
        await asyncio.sleep(0.05)
        time.sleep(0.4)  # noqa: ASYNC251 - that is what is looked for.
        stalled = await events.first(LoopStalled)
    assert stalled.seconds >= 0.3
    assert stalled.busy_s < 0.1


async def test_a_loop_that_goes_on_is_no_stall_even_if_it_works_hard() -> None:
    events = FakeEvents()
    async with StallWatch(events):
        for _ in range(40):
            work(0.005)
            await asyncio.sleep(0)
    busy = [one for one in events.of(LoopStalled) if one.busy_s >= one.seconds / 2]
    assert busy == []


def test_the_worst_stall_is_a_metric_and_each_is_logged_by_whose_fault_it_is() -> None:
    registry = CollectorRegistry()
    lines: list[str] = []
    telemetry = Telemetry(Metrics(registry, "1"), JsonLog(lines.append, "debug"))
    for seconds, busy_s in ((0.2, 0.2), (0.5, 0.0), (0.3, 0.3)):
        telemetry.emit(LoopStalled(seconds=seconds, busy_s=busy_s, where="answer.py:7 check"))
    assert registry.get_sample_value("appset_hub_event_loop_worst_stall_seconds") == 0.5
    assert registry.get_sample_value("appset_hub_event_loop_stalls_total") == 3
    assert ["warning" in line for line in lines] == [True, False, True]
    assert '"ms":500,"busy_ms":0,"where":"answer.py:7 check"' in lines[1]

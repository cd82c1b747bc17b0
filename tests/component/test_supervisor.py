"""The hub's long-lived tasks: each failure is told, and the task runs again or ends the hub."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hub
from hub.core.events import StoreTrouble, TaskFailed
from hub.main.supervisor import Supervisor
from hub.main.tasks import stop
from hub.service.ports import Fatal
from hub.store.sqlite import SqliteStore, ThreadEnded
from tests.support.fakes import FakeEvents
from tests.support.virtual import after, now_s, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Work:
    """Does one thing after the other, and then waits; remembers when it was started."""

    def __init__(self, *outcomes: Callable[[], Awaitable[None]]) -> None:
        self._outcomes = list(outcomes)
        self.started_s: list[float] = []

    async def __call__(self) -> None:
        self.started_s.append(now_s())
        if self._outcomes:
            await self._outcomes.pop(0)()
        else:
            await asyncio.Event().wait()


async def fails() -> None:
    raise ValueError("no such luck")


async def returns() -> None:
    pass


async def is_cancelled_from_within() -> None:
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    await cancelled


@pytest.mark.parametrize("outcome", [fails, returns, is_cancelled_from_within])
@on_virtual_time
async def test_a_task_that_ends_is_told_with_its_traceback_and_started_again(
    outcome: Callable[[], Awaitable[None]],
) -> None:
    events, work = FakeEvents(), Work(outcome)
    async with Supervisor(events, now_s) as supervisor:
        supervisor.start("retention", work)
        failed = await events.first(TaskFailed)
        assert (failed.task, failed.then) == ("retention", "it starts again in 0.1 s")
        assert outcome.__name__ in failed.traceback or "_EndedEarly" in failed.traceback
        assert supervisor.failing == ("retention",)
        await after(1.0)
        assert len(work.started_s) == 2
        assert len(events.all) == 1
        await after(30.0)
        assert not supervisor.failing


@on_virtual_time
async def test_the_pause_before_a_task_starts_again_grows_to_a_minute_and_shrinks_when_it_has_run_for_long() -> None:
    async def fails_later() -> None:
        await after(1000.0)
        raise ValueError

    events, work = FakeEvents(), Work(*[fails] * 12, fails_later)
    async with Supervisor(events, now_s) as supervisor:
        supervisor.start("file_watch", work)
        await events.first(TaskFailed, count=12)
        assert supervisor.failing == ("file_watch",)
        await after(100.0)
        pauses_s = [later - before for before, later in zip(work.started_s, work.started_s[1:], strict=False)]
        assert pauses_s == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0])
        await after(1000.0)
        assert work.started_s[-1] - work.started_s[-2] == pytest.approx(1000.1)


@on_virtual_time
async def test_what_is_fatal_ends_the_hub_and_says_why() -> None:
    async def cannot_go_on() -> None:
        raise Fatal("the thread is gone")

    events = FakeEvents()
    async with Supervisor(events, now_s) as supervisor:
        supervisor.start("store", cannot_go_on)
        assert await supervisor.fatal == "the thread is gone"
        assert events.of(TaskFailed)[0].then == "the hub ends"


@on_virtual_time
async def test_no_task_outlives_its_supervisor() -> None:
    async with Supervisor(FakeEvents(), now_s) as supervisor:
        tasks = [supervisor.start("retention", Work()), supervisor.start("reload", Work(fails))]
        await after(0.05)
    assert all(task.cancelled() for task in tasks)


@on_virtual_time
async def test_who_waits_for_a_task_to_end_can_be_cancelled() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await after(10.0)

    task = asyncio.ensure_future(stubborn())
    stopping = asyncio.ensure_future(stop(task))
    await after(1.0)
    stopping.cancel()
    await asyncio.wait((stopping,))
    assert stopping.cancelled()
    await asyncio.wait((task,))


@on_virtual_time
async def test_a_task_that_failed_before_it_was_stopped_says_so() -> None:
    task = asyncio.ensure_future(fails())
    await after(1.0)
    with pytest.raises(ValueError, match="no such luck"):
        await stop(task)


async def test_a_store_whose_thread_has_ended_is_fatal(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "hub.db", FakeEvents(), look_s=0.01) as store:
        pass
    with pytest.raises(ThreadEnded):
        await store.watch()


async def test_a_store_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    events = FakeEvents()
    async with (
        SqliteStore(tmp_path / "hub.db", events, look_s=0.05) as store,
        SqliteStore(tmp_path / "other.db", events),
    ):
        watching = asyncio.ensure_future(store.watch())
        released = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Stuck(str):
            """A key whose comparison takes as long as a disk that hangs."""

            __slots__ = ()

            def __conform__(self, _: object) -> str:
                asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
                return "x"

        reading = asyncio.ensure_future(store.get("kind", Stuck()))
        assert "no read or write has ended" in (await events.first(StoreTrouble)).detail
        released.set()
        await reading
        await stop(watching)


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes cancellations, and does not pass them on."""
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {""}
    names |= (
        {node.attr for node in ast.walk(handler.type) if isinstance(node, ast.Attribute)} if handler.type else set()
    )
    takes = names & {"", "BaseException", "CancelledError"}
    return bool(takes) and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def suppresses(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and "suppress" in ast.unparse(node.func)
        and any("Cancelled" in ast.unparse(one) or "BaseException" in ast.unparse(one) for one in node.args)
    )


def test_nothing_in_the_hub_swallows_a_cancellation() -> None:
    files = list(Path(hub.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    found = [
        f"{file}:{ast.unparse(node)}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.ExceptHandler) and swallows(node)) or suppresses(node)
    ]
    assert found == []

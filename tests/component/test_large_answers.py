"""Large answers are checked and combined in another process, with the same outcome."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from hub.apart.processes import Processes
from hub.core.combine import AnswerRules, Merge
from hub.core.errors import AnswerRefused, CheckFailed, DeadlinePassed
from hub.core.routes import Trust
from hub.core.values import ValueRules
from hub.service.ports import RawAnswer, WorkLost
from hub.service.room import LARGE_BYTES
from tests.support.fakes import FakeLink
from tests.support.service import Service, guarded_by_default, route

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from hub.core.deadline import Deadline
    from hub.service.ports import Ask

    T = TypeVar("T")

COUNT = 2000
FILL = "x" * (LARGE_BYTES // COUNT)


def large(**more: Any) -> list[dict[str, Any]]:
    return [{"name": f"n{number}", "size": number, "fill": FILL, **more} for number in range(COUNT)]


class Says:
    """A backend that gives one answer, until another one is set."""

    def __init__(self, sets: list[dict[str, Any]]) -> None:
        self.sets = sets

    async def __call__(self, _ask: Ask, _deadline: Deadline) -> RawAnswer:
        return RawAnswer(sets_json=json.dumps(self.sets, separators=(",", ":")).encode())


class Counted:
    """Runs work in processes, and counts it; ``lose`` ends them first."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.runs = 0

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:
        self.runs += 1
        return await self._processes.run(work, within_s=within_s)


class Never:
    """A process that has not come to an end yet."""

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:  # noqa: ARG002 - as the port.
        await asyncio.Event().wait()
        raise AssertionError


class Lost:
    """A process that something ends."""

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:  # noqa: ARG002 - as the port.
        raise WorkLost("its process ended with signal 9")


async def test_a_large_answer_leaves_as_a_small_one_does() -> None:
    async with Processes(most=2) as processes:
        apart = Counted(processes)
        hub = Service(guarded_by_default(), apart=apart, remembered_bytes=1 << 30)
        await hub.attach(FakeLink("one", Says(large())))
        assert await hub.ask() == large()
        assert apart.runs == 1
        # The same once more is only compared.
        assert await hub.ask() == large()
        assert apart.runs == 1


async def test_a_small_answer_is_checked_at_once() -> None:
    async with Processes(most=2) as processes:
        apart = Counted(processes)
        hub = Service(guarded_by_default(), apart=apart, remembered_bytes=1 << 30)
        await hub.attach(FakeLink("one", Says(large()[:100])))
        assert await hub.ask() == large()[:100]
        assert apart.runs == 0


async def test_of_a_large_answer_of_text_only_the_change_is_read() -> None:
    async with Processes(most=2) as processes:
        apart = Counted(processes)
        hub = Service(guarded_by_default(), apart=apart, remembered_bytes=1 << 30)
        texts = [{"name": f"n{number}", "fill": FILL} for number in range(COUNT)]
        says = Says(texts)
        await hub.attach(FakeLink("one", says))
        await hub.ask()
        says.sets = [*texts, {"name": "more"}]
        assert await hub.ask() == says.sets
        assert apart.runs == 1


@pytest.mark.parametrize(
    ("how", "makes"),
    [
        ({"values": ValueRules(numbers="text")}, lambda one: {**one, "size": str(one["size"])}),
        ({"values": ValueRules(echo=("team",))}, lambda one: {**one, "team": "red"}),
        ({"combine": Merge(on=("name",))}, lambda one: {**one, "owner": "o"}),
        ({"rules": AnswerRules(unique_by=("name",)), "trust": Trust()}, lambda one: one),
    ],
    ids=["numbers", "echo", "merge", "unique, with a guard"],
)
async def test_large_answers_are_combined_in_another_process_too(
    how: dict[str, Any], makes: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    async with Processes(most=2) as processes:
        apart = Counted(processes)
        hub = Service(route("r", "images", "owners", **how) if "combine" in how else route(**how), apart=apart)
        await hub.attach(FakeLink("one", Says(large())))
        await hub.attach(FakeLink("two", Says([{"name": f"n{n}", "owner": "o"} for n in range(COUNT)])), "owners")
        assert await hub.ask(parameters={"team": "red"}) == [makes(one) for one in large()]
        assert apart.runs == 2


async def test_the_guard_holds_a_large_answer_that_lost_too_much() -> None:
    async with Processes(most=2) as processes:
        hub = Service(guarded_by_default(), apart=processes)
        says = Says(large())
        await hub.attach(FakeLink("one", says))
        await hub.ask()
        says.sets = [{**one, "fill": FILL * 2} for one in large()[: COUNT // 2]]
        assert (await hub.refusal()).reason == "answer_held"


async def test_a_refusal_of_a_large_answer_names_the_place() -> None:
    async with Processes(most=2) as processes:
        hub = Service(route(), apart=processes)
        await hub.attach(FakeLink("one", Says([*large(), {}])))
        refused = await hub.refusal()
        assert isinstance(refused, AnswerRefused)
        assert str(refused) == f'backend "images": set {COUNT + 1} of {COUNT + 1} is empty'


async def test_a_process_that_ends_is_a_503_and_nothing_is_remembered() -> None:
    hub = Service(route(), apart=Lost())
    await hub.attach(FakeLink("one", Says(large())))
    refused = await hub.refusal()
    assert isinstance(refused, CheckFailed)
    assert str(refused) == (
        'backend "images": the answer is too large to check in the hub\'s own process, and its process ended with '
        "signal 9; Applications are left unchanged"
    )


async def test_a_check_that_takes_too_long_passes_the_deadline() -> None:
    hub = Service(route(deadline_s=0.05), apart=Never())
    await hub.attach(FakeLink("one", Says(large())))
    assert isinstance(await hub.refusal(), DeadlinePassed)


async def test_a_killed_process_fails_one_question_and_not_the_next() -> None:
    async with Processes(most=1) as processes:
        hub = Service(route(), apart=processes)
        await hub.attach(FakeLink("one", Says(large())))
        asking = hub.asking()
        async with asyncio.timeout(10):
            while not processes.pids():  # noqa: ASYNC110 - nobody tells when it is started.
                await asyncio.sleep(0)
        os.kill(processes.pids()[0], signal.SIGKILL)
        with pytest.raises(CheckFailed):
            await asking
        assert await hub.ask() == large()

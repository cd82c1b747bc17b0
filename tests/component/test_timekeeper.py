"""One timer for many deadlines, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from hub.core.deadline import Deadline
from hub.service.timekeeper import Timekeeper
from tests.support.virtual import after, now_s, on_virtual_time


async def limited(keeper: Timekeeper, limit_s: float, work_s: float) -> float:
    """Work under a limit; returns when it was over, in seconds from the beginning."""
    began_s = now_s()
    try:
        with keeper.until(Deadline(began_s + limit_s)):
            await after(work_s)
    except TimeoutError:
        return -(now_s() - began_s)
    return now_s() - began_s


@on_virtual_time
async def test_each_ends_at_its_own_deadline_whatever_the_order() -> None:
    keeper = Timekeeper()
    limits_s = [30.0, 5.0, 10.0, 5.0, 0.0, -1.0, 20.0]
    ends_s = await asyncio.gather(*(limited(keeper, limit_s, 100.0) for limit_s in limits_s))
    assert ends_s == pytest.approx([-30.0, -5.0, -10.0, -5.0, 0.0, 0.0, -20.0])


@on_virtual_time
async def test_what_is_done_in_time_is_left_alone_and_later_deadlines_still_count() -> None:
    keeper = Timekeeper()
    assert await limited(keeper, 5.0, 1.0) == pytest.approx(1.0)
    ends_s = await asyncio.gather(limited(keeper, 5.0, 4.0), limited(keeper, 5.0, 100.0), limited(keeper, 60.0, 50.0))
    assert ends_s == pytest.approx([4.0, -5.0, 50.0])
    assert await limited(keeper, 5.0, 100.0) == pytest.approx(-5.0)


@on_virtual_time
async def test_the_inner_of_two_deadlines_ends_the_inner_block_only() -> None:
    keeper = Timekeeper()
    with keeper.until(Deadline(now_s() + 10)):
        assert await limited(keeper, 2.0, 100.0) == pytest.approx(-2.0)
        await after(1.0)
    with pytest.raises(TimeoutError), keeper.until(Deadline(now_s() + 1)):
        await limited(keeper, 2.0, 100.0)


@on_virtual_time
async def test_who_is_cancelled_is_cancelled_even_at_its_deadline() -> None:
    keeper = Timekeeper()
    task = asyncio.ensure_future(limited(keeper, 5.0, 100.0))
    asyncio.get_running_loop().call_later(5.0, task.cancel)
    await asyncio.wait([task])
    assert task.cancelled()


@on_virtual_time
async def test_an_error_of_the_block_is_its_own() -> None:
    keeper = Timekeeper()
    with pytest.raises(KeyError), keeper.until(Deadline(now_s() + 10)):
        raise KeyError


@on_virtual_time
async def test_who_is_no_task_cannot_be_limited() -> None:
    keeper, refused = Timekeeper(), asyncio.get_running_loop().create_future()

    def no_task() -> None:
        try:
            keeper.until(Deadline(1.0))
        except RuntimeError as error:
            refused.set_result(str(error))

    asyncio.get_running_loop().call_soon(no_task)
    assert await refused == "only a task can be limited"

"""The memory for large answers: who waits, who is refused, and that all of it is given back."""

from __future__ import annotations

import asyncio

import pytest

from hub.core.deadline import Deadline
from hub.core.errors import Shedding
from hub.service.room import Room
from tests.support.virtual import after, all_has_run, now_s, on_virtual_time

MIB = 1024 * 1024
LATER = Deadline(1e9)


@on_virtual_time
async def test_an_answer_that_is_large_without_warning_takes_three_times_its_size_or_is_refused() -> None:
    room = Room(10 * MIB, now_s)
    assert room.expected_bytes("images") == 0
    assert room.arrived("images", 2 * MIB, 0) == 6 * MIB
    with pytest.raises(Shedding, match=r"limits\.memory"):
        room.arrived("images", 2 * MIB, 0)
    room.give_back(6 * MIB)
    assert room.taken_bytes == 0


@on_virtual_time
async def test_a_backend_that_gave_a_large_answer_is_expected_to_do_it_again_for_a_while() -> None:
    room = Room(10 * MIB, now_s)
    room.give_back(room.arrived("images", 2 * MIB, 0))
    room.give_back(room.arrived("images", 1 * MIB, 0))
    assert room.expected_bytes("images") == 6 * MIB
    assert room.expected_bytes("owners") == 0
    await after(601)
    assert room.expected_bytes("images") == 0


@on_virtual_time
async def test_those_who_expect_a_large_answer_wait_in_order_until_there_is_room() -> None:
    room, order = Room(10 * MIB, now_s), list[str]()

    async def enter(name: str, mib: int) -> None:
        await room.take(mib * MIB, LATER)
        order.append(name)

    await enter("first", 6)
    tasks = [asyncio.create_task(enter(name, mib)) for name, mib in (("second", 6), ("third", 1))]
    await all_has_run()
    assert order == ["first"]
    room.give_back(6 * MIB)
    await asyncio.gather(*tasks)
    assert order == ["first", "second", "third"]
    assert room.taken_bytes == 7 * MIB


@on_virtual_time
async def test_who_waits_in_vain_is_refused_before_the_deadline_and_who_leaves_lets_the_next_one_in() -> None:
    room = Room(10 * MIB, now_s)
    await room.take(6 * MIB, LATER)
    began_s = now_s()
    with pytest.raises(Shedding):
        await room.take(6 * MIB, Deadline(began_s + 1))
    assert 0 < now_s() - began_s < 1
    leaving = asyncio.create_task(room.take(6 * MIB, LATER))
    next_one = asyncio.create_task(room.take(2 * MIB, LATER))
    await all_has_run()
    leaving.cancel()
    await next_one
    assert room.taken_bytes == 8 * MIB


@on_virtual_time
async def test_one_who_is_cancelled_as_it_is_let_in_keeps_nothing() -> None:
    room = Room(10 * MIB, now_s)
    await room.take(6 * MIB, LATER)
    leaving = asyncio.create_task(room.take(6 * MIB, LATER))
    await all_has_run()
    room.give_back(6 * MIB)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert room.taken_bytes == 0


@on_virtual_time
async def test_one_answer_alone_always_has_room_and_a_closed_one_lets_in_no_other() -> None:
    room = Room(1 * MIB, now_s)
    assert room.arrived("images", 100 * MIB, 0) == 300 * MIB
    room.give_back(300 * MIB)
    room = Room(100 * MIB, now_s)
    room.close()
    await room.take(1 * MIB, LATER)
    waiting = asyncio.create_task(room.take(1 * MIB, LATER))
    await all_has_run()
    assert not waiting.done()
    room.open()
    await waiting


@on_virtual_time
async def test_without_a_limit_nothing_is_counted() -> None:
    room = Room(None, now_s)
    assert room.arrived("images", 100 * MIB, 0) == 0
    assert room.expected_bytes("images") == 0

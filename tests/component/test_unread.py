"""Answers that callers do not read: what they take together is limited, and the slowest readers go."""

from __future__ import annotations

import asyncio

from hub.core.combine import Answer
from tests.support.http import Wire, post, served

MIB = 1024 * 1024
LARGE = Answer(body=b'{"output":{"parameters":[]}}' + b" " * (12 * MIB), count=0)
WITHIN_S = 20.0


async def gets_all(wire: Wire) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            return (await wire.reply()).status == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


async def test_of_those_who_do_not_read_the_slowest_go_and_the_last_one_stays() -> None:
    async with served(max_in_flight=100, unread_bytes=16 * MIB) as server:
        server.execute.outcome = LARGE
        wires = [await server.wire() for _ in range(3)]
        for wire in wires:
            await wire.send(post(token="other-password"))
            await server.execute.held.acquire()
            # Its answer is written before the next one asks.
            await asyncio.sleep(0.1)
        assert [await gets_all(wire) for wire in wires] == [False, False, True]


async def test_an_answer_that_was_read_does_not_count() -> None:
    async with served(unread_bytes=16 * MIB) as server:
        server.execute.outcome = LARGE
        for _ in range(3):
            wire = await server.wire()
            await wire.send(post())
            assert await gets_all(wire)


async def test_without_a_limit_nobody_goes() -> None:
    async with served(max_in_flight=100) as server:
        server.execute.outcome = LARGE
        wires = [await server.wire() for _ in range(3)]
        for wire in wires:
            await wire.send(post(token="other-password"))
        assert [await gets_all(wire) for wire in wires] == [True, True, True]

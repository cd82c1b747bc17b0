"""Callers that are slow, or too many: each ends within its limit, and everyone else is answered."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.combine import Answer
from tests.support.http import TOKEN, Wire, post, served

if TYPE_CHECKING:
    from tests.support.http import Served

LARGE = Answer(body=b'{"output":{"parameters":[{"a":"' + b"x" * 16_000_000 + b'"}]}}', count=1)
WITHIN_S = 10.0


async def drip(wire: Wire, data: bytes, pause_s: float = 0.02) -> None:
    """Send a byte at a time, until the hub has had enough."""
    try:
        for position in range(len(data)):
            await wire.send(data[position : position + 1])
            await asyncio.sleep(pause_s)
    except ConnectionError:
        return


async def ends(wire: Wire) -> bytes:
    """What comes until the hub ends the connection."""
    async with asyncio.timeout(WITHIN_S):
        try:
            return await wire.reader.read()
        except ConnectionError:
            return b""


async def test_a_head_that_drips_is_given_up() -> None:
    async with served(head_timeout_s=0.2) as server:
        wire = await server.wire()
        dripping = asyncio.ensure_future(drip(wire, post() * 10))
        said = await ends(wire)
        dripping.cancel()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["message"] == (
            "the request's head did not arrive within 0.2 s"
        )


async def test_the_head_of_a_later_request_has_the_same_time() -> None:
    async with served(head_timeout_s=0.2) as server:
        wire = await server.wire()
        assert (await wire.ask(post())).status == 200
        dripping = asyncio.ensure_future(drip(wire, post() * 10))
        assert (await ends(wire)).startswith(b"HTTP/1.1 400 ")
        dripping.cancel()


async def test_a_body_that_drips_is_given_up() -> None:
    async with served(body_timeout_s=0.2) as server:
        wire = await server.wire()
        await wire.send(post(b"", content_length="900"))
        dripping = asyncio.ensure_future(drip(wire, b" " * 900))
        reply = await wire.reply()
        dripping.cancel()
        assert reply.status == 400
        assert "did not arrive in time" in reply.json["message"]


async def test_an_answer_that_is_read_slowly_is_given_up() -> None:
    async with served(write_timeout_s=0.3) as server:
        server.execute.outcome = LARGE
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(post())
        for _ in range(50):
            await reader.readexactly(1000)
            await asyncio.sleep(0.02)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(16_000_000)
        writer.close()


async def test_slow_callers_of_every_kind_take_nothing_from_the_others() -> None:
    async with served(head_timeout_s=0.5, body_timeout_s=0.5, linger_s=0.5, max_in_flight=1000) as server:
        slow = [await server.wire() for _ in range(150)]
        tasks = [asyncio.ensure_future(drip(wire, post()[:-1])) for wire in slow[:50]]
        for wire in slow[50:100]:
            await wire.send(post(token="wrong", content_length="900"))
        replies = await asyncio.gather(*(server.ask(post(token="other-password")) for _ in range(50)))
        assert {reply.status for reply in replies} == {200}
        for wire in slow:
            await ends(wire)
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("size", [21_000, 40_000, 400_000])
@pytest.mark.parametrize("before", [b"", post()], ids=["first", "second"])
async def test_a_head_without_end_is_refused_however_it_is_sent(size: int, before: bytes) -> None:
    async with served() as server:
        for pieces in (1, 7):
            wire = await server.wire()
            data = before + b"GET / HTTP/1.1\r\nX: " + b"x" * size
            step = len(data) // pieces + 1
            for start in range(0, len(data), step):
                await wire.send(data[start : start + step])
                await asyncio.sleep(0)
            if before:
                assert (await wire.reply()).status == 200
            assert (await wire.reply()).status == 400


@pytest.mark.parametrize("pieces", [1, 2, 15])
async def test_a_head_within_the_limit_is_taken_however_it_is_sent(pieces: int) -> None:
    async with served() as server:
        wire = await server.wire()
        data = post(x_padding="x" * 15_000)
        step = len(data) // pieces + 1
        for start in range(0, len(data), step):
            await wire.send(data[start : start + step])
            await asyncio.sleep(0.001)
        assert (await wire.reply()).status == 200


async def test_a_caller_who_sends_no_more_gets_its_answer() -> None:
    async with served() as server:
        server.execute.gate.clear()
        wire = await server.wire()
        await wire.send(post() + post())
        wire.writer.write_eof()
        await server.execute.held.acquire()
        await asyncio.sleep(0.05)
        server.execute.gate.set()
        assert (await wire.reply()).status == 200
        assert (await wire.reply()).status == 200
        await wire.closed()


async def test_a_caller_who_sends_no_more_is_not_waited_for_without_end() -> None:
    async with served(half_closed_s=0.2) as server:
        server.execute.gate.clear()
        wire = await server.wire()
        await wire.send(post())
        wire.writer.write_eof()
        async with asyncio.timeout(WITHIN_S):
            await server.execute.cancelled.wait()
        assert await ends(wire) == b""


async def test_a_caller_who_ends_within_its_request_is_let_go() -> None:
    async with served() as server:
        for part in (post()[:10], post()[:-5]):
            wire = await server.wire()
            await wire.send(part)
            wire.writer.write_eof()
            assert await ends(wire) == b""
        assert server.execute.requests == []


@pytest.mark.parametrize("attempt", range(20))
async def test_whoever_sends_far_too_much_reads_the_refusal(attempt: int) -> None:
    """Go's client sends without waiting for an answer, and an error while it sends hides the answer."""
    async with served() as server:
        wire = await server.wire()
        size = 12_000_000
        await wire.send(post(b"", content_length=str(size)))
        sending = asyncio.ensure_future(wire.send(b" " * size))
        if attempt % 2:
            await sending
        reply = await wire.reply()
        assert (reply.status, reply.reason) == (413, "body_too_large")
        await sending


@pytest.mark.parametrize("digits", [19, 400, 5000])
@pytest.mark.parametrize("upgrade", [False, True], ids=["plain", "upgrade"])
async def test_a_size_of_many_digits_is_refused(digits: int, *, upgrade: bool) -> None:
    async with served() as server:
        headers = {"content_length": "9" * digits, **({"connection": "Upgrade", "upgrade": "x"} if upgrade else {})}
        for token in (TOKEN, "wrong"):
            reply = await server.ask(post(b"", token=token, **headers))
            assert reply.status in (400, 403, 413)


async def fill(server: Served, count: int) -> list[Wire]:
    return [await server.wire() for _ in range(count)]


async def answered(wire: Wire) -> Any:
    return (await wire.ask(post(token="other-password"))).status


async def test_one_that_has_not_asked_makes_room_for_the_next() -> None:
    async with served(connections=5) as server:
        idle = await server.wire()
        assert await answered(idle) == 200
        strangers = await fill(server, 4)
        newest = await server.wire()
        assert await answered(newest) == 200
        assert await ends(strangers[0]) == b""
        for wire in (idle, *strangers[1:]):
            assert await answered(wire) == 200


async def test_one_between_requests_makes_room_where_all_have_asked() -> None:
    async with served(connections=3) as server:
        wires = await fill(server, 3)
        for wire in wires:
            assert await answered(wire) == 200
        newest = await server.wire()
        assert await answered(newest) == 200
        assert await ends(wires[0]) == b""
        assert await answered(wires[1]) == 200


async def test_where_all_are_busy_the_next_is_refused_and_says_why() -> None:
    async with served(connections=2, max_in_flight=10) as server:
        server.execute.gate.clear()
        busy = await fill(server, 2)
        for wire in busy:
            await wire.send(post())
            await server.execute.held.acquire()
        refused = await (await server.wire()).reply()
        assert (refused.status, refused.reason) == (503, "shedding")
        assert "limits.connections" in refused.json["message"]
        server.execute.gate.set()
        for wire in busy:
            assert (await wire.reply()).status == 200


async def test_of_connections_between_requests_only_so_many_are_kept() -> None:
    async with served(idle_connections=2) as server:
        wires = await fill(server, 3)
        for wire in wires:
            assert await answered(wire) == 200
        assert await ends(wires[0]) == b""
        assert await answered(wires[1]) == 200


async def test_one_address_may_have_so_many_connections() -> None:
    async with served(connections_per_peer=2) as server:
        first, second = await fill(server, 2)
        refused = await (await server.wire()).reply()
        assert (refused.status, refused.reason) == (503, "shedding")
        assert "limits.connections_per_peer" in refused.json["message"]
        assert await answered(first) == 200
        second.writer.close()
        await second.writer.wait_closed()
        async with asyncio.timeout(WITHIN_S):
            while True:
                wire = await server.wire()
                await wire.send(post(token="other-password"))
                if (await wire.reply()).status == 200:
                    break


@pytest.mark.parametrize("attempt", range(10))
async def test_whoever_asks_although_there_are_too_many_reads_why_it_is_refused(attempt: int) -> None:
    async with served(connections_per_peer=1) as server:
        await server.wire()
        wire = await server.wire()
        await wire.send(post(b"x" * 900 * (attempt % 2)))
        refused = await wire.reply()
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        assert await ends(wire) == b""


class _TicketsOnTheirWay(asyncio.Transport):
    """A transport as TLS has it after the handshake: something is written already, and not yet sent."""

    ended = False

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 500

    def abort(self) -> None:
        self.ended = True


async def test_what_tls_writes_before_the_first_answer_has_its_time_too() -> None:
    async with served(write_timeout_s=5.0) as server:
        connection, transport = server.http._connection(0), _TicketsOnTheirWay()  # noqa: SLF001 - as the server does.
        connection.connection_made(transport)
        now_s = asyncio.get_running_loop().time()
        connection.look_at_clock(now_s + 1.0)
        assert not transport.ended
        connection.look_at_clock(now_s + 6.0)
        assert transport.ended
        connection.connection_lost(None)
        transport.socket.close()

"""Slow connections of four kinds beside honest requests: ``make campaign-slow`` opens 10,000, and prints figures."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from typing import TYPE_CHECKING

from tests.e2e.support.load import Load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.e2e.support.rig import Hub, Rig

CONNECTIONS = int(os.environ.get("APPSET_HUB_SLOW_CONNECTIONS", "200"))
LIMIT_S = 2.0
SPARE_S = 1.0 if "APPSET_HUB_SLOW_CONNECTIONS" in os.environ else 10.0  # On a machine that also runs other tests.
READERS = 20  # An answer that is not read is kept in memory for each of them.
SETS = [{"name": f"app-{number}", "fill": "x" * 4000} for number in range(4000)]
AT_ONCE = 500

PATH = "/api/v1/getparams.execute"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(name: str = "fb-1", size: int | None = None) -> bytes:
    body = json.dumps({"applicationSetName": name, "input": {"parameters": {}}}).encode()
    length = len(body) if size is None else size
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer argocd-token\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode() + (body if size is None else b"")


async def drip(streams: Streams, data: bytes) -> None:
    """A byte now and then, until the other side has had enough."""
    try:
        for position in range(len(data)):
            streams[1].write(data[position : position + 1])
            await streams[1].drain()
            await asyncio.sleep(0.5)
    except (ConnectionError, asyncio.CancelledError):
        return


async def silent(_: Streams) -> None:
    """Nothing."""


async def slow_head(streams: Streams) -> None:
    await drip(streams, request())


async def slow_body(streams: Streams) -> None:
    streams[1].write(request(size=500))
    await drip(streams, b" " * 500)


async def slow_reader(streams: Streams) -> None:
    streams[1].write(request(name="large-1"))
    await asyncio.sleep(LIMIT_S + 0.5)


async def lasts(port: int, kind: Callable[[Streams], Awaitable[None]], turns: asyncio.Semaphore) -> float:
    """How long the hub keeps such a connection."""
    async with turns:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    began_s = time.monotonic()
    slow = asyncio.ensure_future(kind((reader, writer)))
    try:
        if kind is slow_reader:
            await slow
        while await reader.read(1 << 20):
            pass
    except ConnectionError:
        pass
    finally:
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        writer.close()
    return time.monotonic() - began_s


async def campaign(port: int) -> dict[str, list[float]]:
    turns = asyncio.Semaphore(AT_ONCE)
    kinds = (silent, slow_head, slow_body)
    each = (CONNECTIONS - READERS) // len(kinds)
    wanted = dict.fromkeys(kinds, each) | {slow_reader: READERS}
    tasks = {
        kind.__name__: [asyncio.ensure_future(lasts(port, kind, turns)) for _ in range(count)]
        for kind, count in wanted.items()
    }
    return {name: list(await asyncio.gather(*of_kind)) for name, of_kind in tasks.items()}


def started(rig: Rig) -> Hub:
    limits = dict.fromkeys(("head_timeout", "body_timeout", "write_timeout"), f"{LIMIT_S:g}s")
    rig.configure(
        backends=[rig.backend(name, application_sets=["*"]) for name in ("images", "large")],
        clients=[rig.client(max_in_flight=20_000)],
        limits={**limits, "connections": 20_000, "connections_per_peer": 20_000, "requests_in_flight": 20_000},
    )
    hub = rig.hub()
    answers = {"application_sets": ["fb-*"], "answers": [{"parameters": [{"from": "images"}]}]}
    large = {"application_sets": ["large-*"], "answers": [{"parameters": SETS}]}
    for name, document in (("images", answers), ("large", large)):
        rig.static(name, document, "--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / name)
    hub.joined("images", "large")
    assert hub.ask("large-1").status == 200
    return hub


def test_slow_connections_end_within_their_limits_and_every_honest_request_is_answered(rig: Rig) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hub = started(rig)
    with Load(hub, "fb-1", callers=4) as load:
        lasted = asyncio.run(campaign(int(hub.http)))
    replies = load.replies
    lines = [
        f"{name:12} {len(seconds):6} connections, the longest {max(seconds):.2f} s (limit {LIMIT_S:g} s)"
        for name, seconds in lasted.items()
    ]
    lines.append(f"honest       {len(replies):6} requests, {sum(one.status != 200 for one in replies)} failed")
    print("", *lines, sep="\n")  # noqa: T201 - the campaign's figures.
    assert load.troubles == []
    assert [one.status for one in replies if one.status != 200] == []
    assert {name: max(seconds) for name, seconds in lasted.items() if max(seconds) > LIMIT_S + SPARE_S} == {}

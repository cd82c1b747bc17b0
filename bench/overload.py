"""What a hub does when it is asked more than it can answer: ``make bench-overload``, with BASE=COMMIT of both versions.

A crowd that asks again as soon as it has its answer, whatever it is, meets a polite client: a hundred requests a
second, each at its time, and a pause of a second after a refusal. Everything runs on one machine, so the crowd also
takes processor time from the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import earlier
import needs
from hub_site import NEIGHBOUR_TOKEN, PYTHON, HubSite, Plan, start_hub
from load import TOKEN, Figures, Load, press
from processes import Failed, Fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROUNDS = 3
_SECONDS = 5
_PEAK = 128
_CROWD = 1280  # Ten times as many connections as one route takes requests.
_POLITE = 20  # Connections.
_RATE = 100  # Requests a second over all of them.
_OK, _TOO_MANY = 200, (429, 503)
_PAUSE_S = 1.0
_HEADERS = (
    "POST /api/v1/getparams.execute HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a polite client saw: how long its answers and its refusals took, in ms, and how many requests failed."""

    answers_ms: Sequence[float]
    refusals_ms: Sequence[float]

    def __str__(self) -> str:
        whole = len(self.answers_ms) + len(self.refusals_ms)
        text = f"{whole} requests, {100 * len(self.refusals_ms) / max(1, whole):.1f} % refused"
        if self.answers_ms:
            text += f", answers p50 {median(self.answers_ms):.1f} ms, p99 {_p99(self.answers_ms):.1f} ms"
        if self.refusals_ms:
            text += f", refusals p50 {median(self.refusals_ms):.1f} ms, p99 {_p99(self.refusals_ms):.1f} ms"
        return text


def main() -> int:
    """Print what was seen; returns 1 if a hub did not answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="a commit to compare with")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args()
    needs.need_wrk()
    rounds, seconds = (1, 1) if options.quick else (_ROUNDS, _SECONDS)
    try:
        subjects = {"this version": PYTHON}
        if options.base:
            subjects["the base"] = earlier.environment_of(options.base)
        for _ in range(rounds):
            for name, python in subjects.items():
                with tempfile.TemporaryDirectory(prefix="appset-hub-bench-") as folder, Fleet(Path(folder)) as fleet:
                    _measure(name, start_hub(fleet, "hub", Plan(python=python, kind="ready")), seconds)
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _measure(name: str, site: HubSite, seconds: int) -> None:
    alone = asyncio.run(_polite(site.http, NEIGHBOUR_TOKEN, seconds))
    _say(f"{name}: a polite client alone: {alone}")
    modes: dict[Literal["pool", "new"], str] = {"pool": "questions that repeat", "new": "no question twice"}
    for mode, what in modes.items():
        peak = press(site.endpoint(), Load(sets=2, connections=_PEAK, mode=mode), seconds)
        crowd, beside = asyncio.run(_beside(site, Load(sets=2, connections=_CROWD, mode=mode), seconds))
        best, now = peak.requests / peak.seconds, (crowd.requests - crowd.refused) / crowd.seconds
        _say(f"{name}: {what}: {_PEAK} connections {best:.0f} answers/s, {_CROWD} {now:.0f}: {100 * now / best:.0f} %")
        _say(f"{name}: {what}: another client beside the {_CROWD}: {beside[0]}")
        _say(f"{name}: {what}: a polite client with the crowd's token: {beside[1]}")


async def _beside(site: HubSite, load: Load, seconds: int) -> tuple[Figures, tuple[Seen, Seen]]:
    crowd = asyncio.create_task(asyncio.to_thread(press, site.endpoint(), load, seconds + 1))
    await asyncio.sleep(0.5)
    neighbour, same = await asyncio.gather(
        _polite(site.http, NEIGHBOUR_TOKEN, seconds - 0.5), _polite(site.http, TOKEN, seconds - 0.5)
    )
    return await crowd, (neighbour, same)


async def _polite(port: int, token: str, seconds: float) -> Seen:
    answers: list[float] = []
    refusals: list[float] = []
    async with asyncio.TaskGroup() as group:
        for number in range(_POLITE):
            group.create_task(_caller(port, token, number, seconds, answers, refusals))
    return Seen(answers_ms=answers, refusals_ms=refusals)


async def _caller(  # noqa: PLR0913, PLR0917 - the target, the timing and the results
    port: int, token: str, number: int, seconds: float, answers: list[float], refusals: list[float]
) -> None:
    """Ask on one connection, at given times; what is late is still counted from when it was due."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = f'{{"applicationSetName":"bench-polite-{number}","input":{{"parameters":{{"sets":"2"}}}}}}'.encode()
    request = _HEADERS.format(token, len(body)).encode() + body
    began_s, every_s = time.perf_counter(), _POLITE / _RATE
    due_s = began_s + every_s * number / _POLITE
    while due_s < began_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        taken_ms = (time.perf_counter() - due_s) * 1000
        (answers if status == _OK else refusals).append(taken_ms)
        due_s += every_s
        if status in _TOO_MANY:
            due_s = max(due_s, time.perf_counter() + _PAUSE_S)
    writer.close()
    await writer.wait_closed()


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

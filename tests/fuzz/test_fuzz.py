"""Changed inputs at each place where bytes enter: nothing but the expected errors, and nothing that takes long.

``make fuzz`` runs it for longer. A failure prints the input, and the seed that makes the same inputs again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.mutations import Mutator
from tests.fuzz.targets import HTTP_WORDS, REQUESTS, TARGETS, serve_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("APPSET_HUB_FUZZ_S", "0.7"))
SEED = int(os.environ.get("APPSET_HUB_SEED", "1"))
MAX_STALL_S = 0.1


def run(what: str, mutator: Mutator, act: Callable[[bytes], object]) -> None:
    """Try one input after the other until the time is over."""
    until_s, count, worst_s = time.monotonic() + SECONDS, 0, 0.0
    while time.monotonic() < until_s:
        data = mutator.next()
        count += 1
        try:
            worst_s = max(worst_s, seconds_of(act, data))
        except BaseException as error:
            raise AssertionError(f"{what}, seed {SEED}, input {count}: {data!r}") from error
    print(f"{what:14} {count:9} inputs, the slowest {worst_s * 1000:.1f} ms")  # noqa: T201 - the campaign's figures.


def seconds_of(act: Callable[[bytes], object], data: bytes) -> float:
    """How long an input takes: the least of three, if the first is too long, for the machine may be busy."""
    took_s = MAX_STALL_S + 1
    for _ in range(3):
        started_s = time.process_time()
        act(data)
        took_s = min(took_s, time.process_time() - started_s)
        if took_s <= MAX_STALL_S:
            break
    assert took_s <= MAX_STALL_S, f"it takes {took_s:.3f} s"
    return took_s


async def end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("name", list(TARGETS))
def test_changed_inputs_bring_nothing_but_the_expected_errors(name: str) -> None:
    target = TARGETS[name]
    run(name, Mutator(random.Random(SEED), target.examples, target.words), target.run)


def test_changed_requests_bring_nothing_but_answers_of_ours() -> None:
    loop = asyncio.new_event_loop()
    unhandled: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))

    def act(data: bytes) -> None:
        loop.run_until_complete(serve_bytes(data))
        assert unhandled == []

    try:
        run("http", Mutator(random.Random(SEED), REQUESTS, HTTP_WORDS), act)
        loop.run_until_complete(end(asyncio.all_tasks(loop)))
    finally:
        loop.close()

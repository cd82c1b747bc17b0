"""Compares what a question costs with another version of the hub, without its ports: processor time in the use cases.

    .venv/bin/python bench/questions.py --against ../main

Both versions run in processes of their own and in turn, round after round, so that what else the machine does meets
both. The store is a SQLite file. Ratios above 1 mean that this version costs more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent.parent
KINDS = ("new", "unchanged", "changed")
_SETS = 10


def main() -> None:
    """Measure both versions, or one round in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout of the other version")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--questions", type=int, default=2000, help="in a round, of each kind")
    parser.add_argument("--round", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        sys.stdout.write(json.dumps(asyncio.run(_round(options.questions))))
        return
    if options.against is None:
        parser.error("--against is missing")
    _compare(options.against.resolve(), options.rounds, options.questions)


def _compare(other: Path, rounds: int, questions: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        # Whoever is first meets a cooler machine.
        trees = (HERE, other) if number % 2 else (other, HERE)
        costs = {tree: _started(tree, questions) for tree in trees}
        for kind in KINDS:
            found[kind].append((costs[HERE][kind], costs[other][kind]))
    for kind, pairs in found.items():
        mine_us, theirs_us = (1e6 * min(side) for side in zip(*pairs, strict=True))
        ratio = median(mine / theirs for mine, theirs in pairs)
        sys.stdout.write(f"{kind:10} {mine_us:7.1f} us, was {theirs_us:7.1f} us: {ratio:5.3f} (median of {rounds})\n")


def _started(tree: Path, questions: int) -> dict[str, float]:
    paths = os.pathsep.join(map(str, (tree, tree / "sdk/python")))
    command = [sys.executable, "-P", __file__, "--round", "--questions", str(questions)]
    done = subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=True)
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


async def _round(questions: int) -> dict[str, float]:
    """Processor seconds of one question of each kind."""
    # From the version that is measured, which is not the one that this file belongs to.
    from hub.core.guard import GuardPolicy  # noqa: PLC0415 - as above.
    from hub.core.routes import Trust  # noqa: PLC0415 - as above.
    from hub.store.sqlite import SqliteStore  # noqa: PLC0415 - as above.
    from tests.support.fakes import FakeEvents, FakeLink  # noqa: PLC0415 - as above.
    from tests.support.service import Service, route  # noqa: PLC0415 - as above.

    class Store(SqliteStore):
        values: ClassVar[dict[tuple[str, str], bytes]] = {}  # What the support of the tests looks at.

    answers: dict[str, Iterator[bytes]] = {"new": _same(), "unchanged": _same(), "changed": _changing()}
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        async with Store(Path(folder) / "hub.db", FakeEvents()) as store:
            hub: Any = Service(route(trust=Trust(guard=GuardPolicy())), store=store)
            await hub.guard.open()
            for kind in KINDS:
                link = FakeLink("one", _saying(answers[kind]))
                instance = await hub.attach(link)
                await hub.ask(f"{kind}-warm")
                started_s = time.process_time()
                for number in range(questions):
                    await hub.ask(f"{kind}-{number}" if kind == "new" else f"{kind}-warm")
                costs[kind] = (time.process_time() - started_s) / questions
                hub.lose(instance)
    return costs


def _saying(answers: Iterator[bytes]) -> Callable[..., Any]:
    from hub.service.ports import RawAnswer  # noqa: PLC0415 - as above.

    async def says(*_: Any) -> Any:
        return RawAnswer(sets_json=next(answers))

    return says


def _same() -> Iterator[bytes]:
    answer = _written({})
    while True:
        yield bytes(bytearray(answer))  # As from a wire: equal, and another object.


def _changing() -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield _written({number % _SETS: str(number)})


def _written(tags: dict[int, str]) -> bytes:
    sets = [{"name": f"app-{one}", "tag": tags.get(one, "1")} for one in range(_SETS)]
    return json.dumps(sets, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()

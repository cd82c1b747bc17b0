"""Every 200 that leaves a socket is one complete answer that the script allowed: over very many scripted answers.

``APPSET_HUB_SEED`` tells the same stories again, ``APPSET_HUB_ANSWERS`` says how many answers, ``APPSET_HUB_STORY`` one
story alone. Without them: a few thousand, or a hundred thousand where ``CI`` is set.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.trust.mass import Mass

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = 2  # Processes, under pytest-xdist.
FEW, MANY = 5_000, 100_000
SEED = os.environ.get("APPSET_HUB_SEED") or secrets.token_hex(4)
STORY = os.environ.get("APPSET_HUB_STORY")
ANSWERS = int(os.environ.get("APPSET_HUB_ANSWERS") or (MANY if os.environ.get("CI") else FEW))
WANTED = ("200", "200 stale", "409", "502", "503", "400", "accept 200", "restarts", "streams cut", "absences")
RESTART_EVERY = 5_000  # Answers of one process.

# In memory where that is possible: a hundred thousand answers wait for the disk many thousand times.
MEMORY = Path("/dev/shm")


@pytest.mark.timeout(60 + ANSWERS / 100)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_200_is_an_answer_that_the_script_allowed(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    # Workers draw different seeds; the part in it tells again which one's stories these were.
    seed = SEED if "/" in SEED else f"{SEED}/{part}"
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, ignore_cleanup_errors=True) as folder:
        mass = _run(Path(folder), seed)
    record_property("told", f"seed {seed}: {mass.answers} scripted answers; {dict(sorted(mass.seen.items()))}")
    if STORY is None and ANSWERS >= FEW:
        for what in WANTED:
            assert mass.seen[what], f"no {what} in all stories: they prove too little"


def _run(folder: Path, seed: str) -> Mass:
    answers = ANSWERS // PARTS
    mass = Mass(
        folder,
        seed=seed,
        answers=answers,
        restarts=max(1, answers // RESTART_EVERY),
        story=None if STORY is None else int(STORY),
    )
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(mass.run())
    finally:
        # After a failure gRPC may still hold on to the loop; what failed says more than that.
        with suppress(OSError):
            runner.close()
    return mass

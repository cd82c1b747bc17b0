"""``make fuzz``: changed inputs at each place where bytes enter, on all processors, for a time or up to a number.

It prints a line for each place: how many inputs, how many faults (an exception that is not an error of the project's
tree, or a stall of more than 100 ms), and the longest stall. The same seed and number make the same inputs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from tests.fuzz.mutations import Mutator
from tests.fuzz.targets import TARGETS
from tests.fuzz.trials import Figures, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANY = 100  # Between two looks at the clock.


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process tries on one target; ``inputs`` of 0 is any number."""

    target: str
    seed: str
    seconds: float
    inputs: int

    def changed(self) -> Iterator[bytes]:
        """The inputs."""
        target = TARGETS[self.target]
        mutator = Mutator(random.Random(self.seed), target.examples, target.words)
        until_s = time.monotonic() + self.seconds
        for number in count():
            if number == self.inputs > 0 or (number % MANY == 0 and time.monotonic() > until_s):
                return
            yield mutator.next()


def tried(part: Part) -> Figures:
    """Try one part."""
    with TARGETS[part.target].opened() as act:
        return Trial(act).try_all(part.changed())


def parts(target: str, options: argparse.Namespace) -> list[Part]:
    """A target's inputs, divided among the processors; each has a seed of its own."""
    inputs, left = divmod(options.inputs, options.processes)
    return [
        Part(
            target=target,
            seed=f"{options.seed}/{number}",
            seconds=float("inf") if options.inputs else options.seconds,
            inputs=inputs + (number < left),
        )
        for number in range(options.processes)
        if not options.inputs or inputs + (number < left)
    ]


def shown(name: str, figures: Figures) -> str:
    """The line of a target, and its faults."""
    stall = f"longest {figures.longest_s * 1000:.1f} ms"
    line = f"{name:14} {figures.inputs:10} inputs, {len(figures.faults)} faults, {stall}"
    faults = [f"  {place}, input {fault.data!r}\n{fault.text}" for place, fault in figures.faults.items()]
    return "\n".join([line, *faults])


def main(arguments: Sequence[str]) -> int:
    """Run a campaign; the exit code is 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of: {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--inputs", type=int, default=0, help="number for each target, instead of a time")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    failed = False
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        for name in options.targets or TARGETS:
            figures = Figures()
            for one in pool.map(tried, parts(name, options)):
                figures.add(one)
            print(shown(name, figures), flush=True)  # noqa: T201 - what the campaign is for.
            failed = failed or bool(figures.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

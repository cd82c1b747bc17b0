"""Measures this version of the hub beside an earlier one: ``make bench-paired BASE=COMMIT``.

Both run on this machine at the same time, each in its own environment, and are put under the same load in turn. What
counts is the processor time of one request: it may not grow by more than a twentieth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import earlier
import needs
import rounds
import table
from hub_site import PYTHON, Kind, Plan
from load import Load
from processes import Failed, Fleet
from subjects import hub
from workloads import Goal, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_THIS, _BASE = "this version", "the base"
_AT_MOST = 1.05
_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What both are asked, and what their backends are like."""

    name: str
    load: Load
    kind: Kind = "ready"
    dialled: bool = False


WORK = (
    Work(name="attached, 2 sets, 32 connections", load=Load(sets=2, connections=32)),
    Work(name="attached, SDK, 2 sets, 32 connections", load=Load(sets=2, connections=32), kind="sdk"),
    Work(name="dialled, 2 sets, 32 connections", load=Load(sets=2, connections=32), dialled=True),
    Work(name="attached, 2 sets, no question twice", load=Load(sets=2, connections=32, mode="new")),
    Work(name="attached, 1,000 sets that repeat", load=Load(sets=1_000, connections=8, questions=64)),
    Work(name="attached, 1,000 sets that change", load=Load(sets=1_000, connections=8, questions=64, change=True)),
)


def main() -> int:
    """Print one line for each kind of work; returns 1 if this version costs too much, or did not answer."""
    options = _options()
    needs.need_wrk()
    try:
        base = earlier.environment_of(options.base)
        rows = list(_measure(base, [one for one in WORK if options.only in one.name], 0 if options.quick else _ROUNDS))
    except Failed as failure:
        _say(f"bench: {failure}")
        return 1
    print(f"\n{table.show_goals(rows, thresholds=not options.quick)}\n", flush=True)
    return 0 if options.quick or all(row.reached for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--only", default="", metavar="TEXT", help="work whose name holds it")
    parser.add_argument("--quick", action="store_true", help="one short round, without verdicts")
    return parser.parse_args()


def _measure(base: Path, work: Sequence[Work], count: int) -> Iterator[table.Row]:
    for one in work:
        _say(one.name)
        with tempfile.TemporaryDirectory(prefix="appset-hub-bench-") as folder, Fleet(Path(folder)) as fleet:
            subjects = {
                name: hub(fleet, name, Plan(python=python, kind=one.kind, dialled=one.dialled))
                for name, python in ((_THIS, PYTHON), (_BASE, base))
            }
            samples = rounds.take_turns(subjects, one.load, count, _say)
        goal = Goal(subject=_THIS, peer=_BASE, figure="front_cpu_us", at_most=_AT_MOST)
        workload = Workload(name=one.name, load=one.load, subjects=(_THIS, _BASE), goals=(goal,))
        yield from table.rows(workload, samples)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Measures the hub beside the proxies that people would reach for: ``make bench``, ``make bench-quick``.

Hub and peers run on this machine at the same time and are put under load in turn, round after round, so that what else
the machine does meets all of them. Only ratios mean something elsewhere; ``docs/performance.md`` says more.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import growth
import machine
import needs
import rounds
import table
from processes import Failed
from workloads import BENCH, Workload, everything

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GROWTH = "growth"


def main() -> int:
    """Run what the command line asks for; returns 1 if something did not work, whatever the figures are."""
    # An end that is asked for takes all started processes along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = _options()
    here = needs.prepare(options.example_page)
    for name, reason in here.missing.items():
        _say(f"without {name}: {reason}")
    started_s = time.monotonic()
    # Before the load, so that the machine's own is seen.
    description = machine.describe(here)
    measured = _measure(options, here)
    document = {
        "machine": description,
        "missing": here.missing,
        **measured,
        "took_s": round(time.monotonic() - started_s, 1),
    }
    _say(f"took {document['took_s']} s on {json.dumps(document['machine'])}")
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if measured["failed"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run that only shows that all of it works")
    parser.add_argument("--full", action="store_true", help="all sizes, connections and ways; takes about an hour")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help=f'work whose name holds it; also "{_GROWTH}"')
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--example-page", type=Path, metavar="FILE", help="the page with Argo CD's example plugin")
    return parser.parse_args()


def _measure(options: argparse.Namespace, here: needs.Needs) -> dict[str, object]:
    thresholds = not options.quick
    goals: list[table.Row] = []
    measured: dict[str, object] = {}
    grown: list[growth.Growth] = []
    failed: list[str] = []
    for workload in _chosen(options):
        _say(f"{workload.name}: {', '.join(workload.subjects)}")
        with _going_on(failed):
            samples = rounds.run(workload, here, quick=options.quick, say=_say)
            _print(table.show_workload(workload, samples))
            goals += table.rows(workload, samples)
            measured[workload.name] = {name: [asdict(one) for one in taken] for name, taken in samples.items()}
    if options.only is None or _GROWTH in options.only:
        _say("how cost grows")
        with _going_on(failed):
            # One by one, so that a part that fails leaves those before it.
            for one in growth.measure_all(quick=options.quick):
                grown.append(one)  # noqa: PERF402
        _print(table.show_growth(grown, thresholds=thresholds))
    if goals:
        _print(table.show_goals(goals, thresholds=thresholds))
    return {
        "goals": [asdict(row) for row in goals],
        "growth": [asdict(one) for one in grown],
        "samples": measured,
        "failed": failed,
    }


@contextmanager
def _going_on(failed: list[str]) -> Iterator[None]:
    """Say what failed, and go on with the next piece of work."""
    try:
        yield
    except Failed as failure:
        _say(f"bench: {failure}")
        failed.append(str(failure))


def _chosen(options: argparse.Namespace) -> Sequence[Workload]:
    chosen = everything() if options.full else BENCH
    if options.quick:
        chosen = tuple(one for one in chosen if one.quick)
    if options.only is not None:
        chosen = tuple(one for one in chosen if any(text in one.name for text in options.only))
    return chosen


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(text: str) -> None:
    print(f"\n{text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())

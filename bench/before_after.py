"""Plays the same scenarios with an earlier version of the hub and with this one: ``make before-after BASE=COMMIT``.

Each scenario is a short story of what a real plugin does: a release, a source that shrinks, a process that freezes. The
table says what Argo CD got, or how long it took. Nothing here is a verdict; the tests hold what has to be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import earlier
import scenarios_availability
import scenarios_compatibility
import scenarios_failures
import scenarios_guard
import table
from hub_site import PYTHON
from processes import Failed, Fleet
from stage import Stage

GROUPS = {
    "guard": scenarios_guard.SCENARIOS,
    "compatibility": scenarios_compatibility.SCENARIOS,
    "availability": scenarios_availability.SCENARIOS,
    "failures": scenarios_failures.SCENARIOS,
}


def main() -> int:
    """Print a table for each group; returns 1 if a scenario could not be played with this version."""
    options = _options()
    try:
        base = None if options.base is None else earlier.environment_of(options.base)
    except Failed as failure:
        _say(f"before_after: {failure}")
        return 1
    broken = False
    for group in options.group or GROUPS:
        lines = [[group, "before", "after"] if base else [group, "after"]]
        for name, play in GROUPS[group].items():
            if options.only not in name:
                continue
            _say(f"{group}: {name}")
            seen = [_play(play, python) for python in ([base] if base else []) + [PYTHON]]
            broken = broken or seen[-1].startswith("could not")
            lines.append([name, *seen])
        print(f"\n{table.aligned(lines)}\n", flush=True)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="the commit to compare with; without one only this version plays")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only this group; may be repeated")
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios whose name holds it")
    return parser.parse_args()


def _play(play: scenarios_guard.Play, python: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="appset-hub-scenario-") as folder, Fleet(Path(folder)) as fleet:
        try:
            return play(Stage(fleet, python))
        except (Failed, OSError, LookupError) as failure:
            return f"could not be played: {' '.join(str(failure).split())[-120:]}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

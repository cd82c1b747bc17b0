"""Holds the coverage of branches: fails when one of the named packages has less than 95 % of them.

``fail_under`` of coverage.py counts lines and branches together, which hides missing branches behind many lines.
"""

import argparse
import json
import sys
from pathlib import Path

WANTED_PERCENT = 95.0


def percent(report: dict[str, dict[str, dict[str, dict[str, int]]]], package: str) -> float:
    """How many of the package's branches the tests took."""
    summaries = [file["summary"] for path, file in report["files"].items() if path.startswith(f"{package}/")]
    if not summaries:
        sys.exit(f'no file of "{package}" was measured')
    branches = sum(summary["num_branches"] for summary in summaries)
    return 100.0 * sum(summary["covered_branches"] for summary in summaries) / branches if branches else 100.0


def main() -> int:
    """Print each package's coverage; 1 when one is short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="what coverage.py wrote as JSON")
    parser.add_argument("packages", nargs="+", help="folders from the repository's root")
    options = parser.parse_args()
    report = json.loads(options.report.read_text(encoding="utf-8"))
    found = {package: percent(report, package) for package in options.packages}
    for package, value in found.items():
        sys.stdout.write(f"{package}: {value:.1f} % of branches, {WANTED_PERCENT:.0f} % wanted\n")
    return 0 if min(found.values()) >= WANTED_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())

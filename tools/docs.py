"""Writes the pages that are made from the code, most of them in ``docs/``, or checks that they are up to date.

A page is a file and the function that gives its text; ``PAGES`` is the list. The text must be the same each time.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import commands
import contract
import metrics
import openapi
import settings

ROOT = Path(__file__).parent.parent

PAGES: dict[str, Callable[[], str]] = {
    "docs/cli.md": commands.page,
    "docs/configuration.md": settings.page,
    "docs/grpc-reference.md": contract.page,
    "docs/metrics.md": metrics.page,
    "hub/http/openapi.json": openapi.page,
}


def main() -> int:
    """Write or check every page; 1 when one is not what the code says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    options = parser.parse_args()
    stale = []
    for place, text in PAGES.items():
        path, wanted = ROOT / place, text()
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale.append(place)
        if not options.check:
            path.write_text(wanted, encoding="utf-8")
    told = '{} is not what the code says: run "make docs"\n' if options.check else "wrote {}\n"
    sys.stderr.writelines(told.format(place) for place in stale)
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())

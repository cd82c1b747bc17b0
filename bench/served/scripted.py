"""A backend on the SDK that answers what a file says, so that a scenario can change its mind between two questions.

The file maps an ApplicationSet's name, or ``*``, to ``{"sets": […], "sleep_s": 0, "fresh_for_s": null}``; with
``"padding_bytes"`` each set also gets a text of that length. Each question leaves a line in a second file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from pathlib import Path

import uvloop
from appset_hub import Answer, Backend, Connection, Question, run


class Script:
    """The file, read at each question."""

    def __init__(self, path: Path, journal: Path) -> None:
        self._path = path
        self._journal = journal

    async def __call__(self, question: Question) -> Answer:
        """What the file says now."""
        with self._journal.open("a") as journal:
            journal.write(f"{question.application_set_name} {time.monotonic()}\n")
        script = json.loads(self._path.read_text())
        said = script.get(question.application_set_name) or script["*"]
        await asyncio.sleep(said.get("sleep_s", 0))
        padding = {"padding": "x" * said["padding_bytes"]} if "padding_bytes" in said else {}
        sets = [{**one, **padding} for one in said["sets"]]
        return Answer(parameters=sets, fresh_for_s=said.get("fresh_for_s"))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--hub", help="attach to this address")
    parser.add_argument("--listen", help="or be dialled at this one")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--claim", action="append", default=[], help="a pattern of names")
    options = parser.parse_args()
    script = Script(options.script, options.script.with_suffix(".journal"))
    where = (
        Connection(hub=options.hub, token_file=options.token_file) if options.hub else Connection(listen=options.listen)
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run(Backend(function=script, name=options.name, application_sets=options.claim), where))


if __name__ == "__main__":
    main()

"""A backend on the SDK, that says what happens to it.

The input decides: ``wait_s`` lets it think for so long. Standard output has a line for each question that came
(``asked``), was answered (``answered``), or is not wanted any more (``cancelled``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from typing import Any

from appset_hub import Question, serve


def say(event: str, question: Question) -> None:
    print(json.dumps({"event": event, "name": question.application_set_name}), flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--application-sets", nargs="*", default=[])
    for flag in ("--hub", "--token-file", "--listen", "--address", "--ca-file", "--cert-file", "--key-file"):
        parser.add_argument(flag)
    parser.add_argument("--sets", type=json.loads, help="what to answer, instead of its own name")
    options = vars(parser.parse_args())
    sets = options.pop("sets")
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    async def answer(question: Question) -> list[dict[str, Any]]:
        say("asked", question)
        try:
            await asyncio.sleep(question.parameters.get("wait_s", 0))
        except asyncio.CancelledError:
            say("cancelled", question)
            raise
        say("answered", question)
        return sets or [{"from": options["name"]}]

    serve(answer, **options)


if __name__ == "__main__":
    main()

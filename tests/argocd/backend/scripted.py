"""A backend on the SDK, as any author would write it; the script is its only whim."""

from __future__ import annotations

import argparse
import functools
import logging
from pathlib import Path
from typing import Any

from appset_hub import Question, serve
from author import act, read_script

SCHEMA = {"type": "object", "properties": {"replicas": {"type": "integer"}}}


def answer(script: Path, question: Question) -> Any:
    return act(read_script(script), question.parameters)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser()
    for flag in ("--name", "--hub", "--token-file", "--application-sets", "--instance"):
        parser.add_argument(flag, default="")
    parser.add_argument("--script", type=Path, required=True)
    options = parser.parse_args()
    serve(
        functools.partial(answer, options.script),
        name=options.name,
        hub=options.hub,
        token_file=options.token_file or None,
        application_sets=[options.application_sets] if options.application_sets else [],
        input_schema=SCHEMA,
        grace_s=2,
    )


if __name__ == "__main__":
    main()

"""A backend on the SDK, as any author would write it; the script is its only whim."""

from __future__ import annotations

import argparse
import functools
import json
import logging
from pathlib import Path
from typing import Any

from appset_hub import InvalidInput, NotReady, Question, serve
from author import act, read_script


def answer(path: Path, question: Question) -> Any:
    script = read_script(path)
    if script["do"] == "refuse":
        raise InvalidInput(script["text"], path=script["path"])
    if script["do"] == "not-ready":
        raise NotReady(script["text"])
    return act(script, question.parameters)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser()
    for flag in ("--name", "--hub", "--token-file", "--application-sets", "--schema"):
        parser.add_argument(flag, default="")
    parser.add_argument("--script", type=Path, required=True)
    options = parser.parse_args()
    serve(
        functools.partial(answer, options.script),
        name=options.name,
        hub=options.hub,
        token_file=options.token_file or None,
        application_sets=[options.application_sets] if options.application_sets else [],
        input_schema=json.loads(options.schema) if options.schema else None,
        grace_s=2,
    )


if __name__ == "__main__":
    main()

"""A backend whose answers are as large as the input says, and of as many values: ``{"bytes": 7000000, "n": 1}``."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from appset_hub import Question, serve

_SET_BYTES = 8192
_VALUES = 450  # Of each set, in so many bytes.


def answer(question: Question) -> list[dict[str, Any]]:
    name = f"{question.application_set_name}-{question.parameters.get('n', 0)}"
    values = {f"k{number:05d}": f"v{number:05d}" for number in range(_VALUES)}
    return [{"name": f"{name}-{index}", **values} for index in range(question.parameters["bytes"] // _SET_BYTES)]


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--name", "--hub", "--token-file", "--listen"):
        parser.add_argument(flag)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve(answer, **vars(parser.parse_args()))


if __name__ == "__main__":
    main()

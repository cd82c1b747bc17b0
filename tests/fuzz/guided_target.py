"""One target under atheris, in a process that ``tests.fuzz.guided`` starts: our code is instrumented as it is imported.

Arguments: the target, the file for the figures, seconds, number of inputs (0: no limit), and libFuzzer's own.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import atheris
import msgspec

from tests.fuzz.trials import Trial

with atheris.instrument_imports(include=["hub", "backends", "appset_hub"]):
    from tests.fuzz.targets import TARGETS

MAX_STALL_S = 1.0  # Instrumented code is slower.


def main() -> None:
    """Fuzz until the time is over or the number is reached."""
    name, file, seconds, inputs, *options = sys.argv[1:]
    until_s = time.monotonic() + float(seconds) if inputs == "0" else float("inf")
    most = int(inputs) or sys.maxsize
    with TARGETS[name].opened() as act:
        trial = Trial(act, MAX_STALL_S)

        def one(data: bytes) -> None:
            trial.try_one(data)
            if trial.figures.inputs >= most or time.monotonic() > until_s:
                Path(file).write_bytes(msgspec.json.encode(trial.figures))
                os._exit(0)  # libFuzzer runs no code of ours at its end.

        atheris.Setup([sys.argv[0], *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

"""``make fuzz-guided``: inputs for each place where bytes enter, guided by the coverage of our code (atheris).

It tries as many targets at once as there are processors. Inputs that reached new code stay in ``.cache/fuzz-corpus``,
and the next run starts from them. They are also tried without instrumentation, which shows how long they take in a hub.
The lines are those of ``make fuzz``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.fuzz.campaign import shown
from tests.fuzz.targets import TARGETS
from tests.fuzz.trials import Fault, Figures, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

HOME = Path(__file__).parents[2] / ".cache" / "fuzz-corpus"
MAX_BYTES = 4096
SECONDS_OF_ONE = 20  # An input that takes longer ends the process.


def guided(name: str, options: argparse.Namespace) -> Figures:
    """Fuzz one target, then try again what was found."""
    corpus, figures = prepared(name), HOME / f"{name}.json"
    figures.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz.guided_target", name, str(figures)),
        *(str(options.seconds), str(options.inputs)),
        *(f"-dict={HOME / name}.dict", f"-seed={options.seed}", f"-max_len={MAX_BYTES}"),
        *(f"-timeout={SECONDS_OF_ONE}", f"-artifact_prefix={HOME / name}.", str(corpus)),
    ]
    log = HOME / f"{name}.log"
    with log.open("wb") as output:
        code = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
    if figures.exists():
        found = msgspec.json.decode(figures.read_bytes(), type=Figures)
    else:
        found = Figures(faults={f"the process ended with {code}": Fault(data=b"", text=f"see {log}")})
    with TARGETS[name].opened() as act:
        again = Trial(act).try_all(path.read_bytes() for path in sorted(corpus.iterdir()))
    return Figures(
        inputs=found.inputs,
        longest_s=again.longest_s,
        longest=again.longest,
        faults={**found.faults, **again.faults},
    )


def prepared(name: str) -> Path:
    """Write a target's examples and words for libFuzzer; returns the folder of the examples."""
    corpus = HOME / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(TARGETS[name].examples):
        (corpus / f"example-{number}").write_bytes(example)
    words = ["".join(f"\\x{byte:02x}" for byte in word[:64]) for word in TARGETS[name].words]
    (HOME / f"{name}.dict").write_text("".join(f'"{word}"\n' for word in words))
    return corpus


def main(arguments: Sequence[str]) -> int:
    """Fuzz; the exit code is 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of: {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--inputs", type=int, default=0, help="number for each target, instead of a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    names = options.targets or list(TARGETS)
    failed = False
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name, figures in zip(names, pool.map(partial(guided, options=options), names), strict=True):
            print(shown(name, figures), flush=True)  # noqa: T201 - what the campaign is for.
            failed = failed or bool(figures.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

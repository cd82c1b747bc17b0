"""Do the tests see it? Applies small edits that make the hub fail open, one by one, and runs the tests against each.

``mutants.toml`` beside this script lists them: what is replaced by what, why that would be dangerous, and which tests
have to fail. It is an error if one passes unseen, or if its text is no longer in the code exactly once. The edits are
made in copies of the tree; the tree itself stays as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_suffix(".toml")

COPIED = ("hub", "sdk/python/appset_hub", "tests/trust", "tests/argocd/testdata", "tests/conftest.py", "pyproject.toml")
FEWEST = 30
SIDE_BY_SIDE = 2

TEST_TIMEOUT_S = 20  # A test that waits for what the edit took away fails after this long.
RUN_TIMEOUT_S = 180
RUNS = 2  # A process that hangs says nothing of the tests; it was seen once, after a failure with gRPC still at work.
SCRIPTED = {"APPSET_HUB_ANSWERS": "2000", "APPSET_HUB_SEED": "mutants"}  # The same stories each time.

_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT_S}")
_TESTS_FAILED = 1  # pytest's exit code; any other but 0 says that it could not run them.


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One edit. ``tests`` are pytest's arguments, of which the first that fails will do."""

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one edit: ``problem`` is empty when the tests caught it, and ``by`` says which one."""

    mutant: Mutant
    duration_s: float
    problem: str = ""
    by: str = ""


class Copy:
    """A copy of the tree in which edits are made and taken back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, target)

    def check(self, mutant: Mutant) -> Result:
        """Make the edit, run the tests, take it back."""
        started_s = time.monotonic()
        path = self.folder / mutant.file
        before = path.read_text()
        found = before.count(mutant.old)
        if found != 1:
            problem = f"its text is there {found} times: bring it up to date"
            return Result(mutant=mutant, duration_s=0.0, problem=problem)
        self._write(path, before.replace(mutant.old, mutant.new))
        try:
            problem, by = self._judge(mutant)
        finally:
            self._write(path, before)
        return Result(mutant=mutant, duration_s=time.monotonic() - started_s, problem=problem, by=by)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        # Python tells versions of a file apart by its size and the second.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def _judge(self, mutant: Mutant) -> tuple[str, str]:
        for _ in range(RUNS):
            with suppress(subprocess.TimeoutExpired):
                run = self.run(mutant.tests)
                break
        else:
            return f"the tests did not end within {RUN_TIMEOUT_S} s, {RUNS} times", ""
        if run.returncode == 0:
            return "SURVIVED: no test failed", ""
        if run.returncode != _TESTS_FAILED:
            return f"pytest could not run the tests ({run.returncode}): {run.stdout.strip()[-300:]}", ""
        failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return "", failed[0].split(" ", 1)[1].split(" - ")[0] if failed else "?"

    def run(self, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        """Run some tests against this copy until one fails."""
        paths = os.pathsep.join((str(self.folder), str(self.folder / "sdk/python")))
        return subprocess.run(
            [sys.executable, "-m", "pytest", *_OPTIONS, *tests],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths, **SCRIPTED},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )

    def is_used(self) -> bool:
        """Whether Python takes the hub from this copy."""
        paths = os.pathsep.join((str(self.folder), str(self.folder / "sdk/python")))
        found = subprocess.run(
            [sys.executable, "-c", "import hub, appset_hub; print(hub.__file__); print(appset_hub.__file__)"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        return all(Path(line).is_relative_to(self.folder) for line in found.stdout.splitlines())


def read() -> list[Mutant]:
    """The list."""
    entries = tomllib.loads(LIST.read_text())["mutant"]
    return [Mutant(**{**entry, "tests": tuple(f"tests/trust/{test}" for test in entry["tests"])}) for entry in entries]


def check_all(mutants: list[Mutant], folder: Path) -> list[Result]:
    """Check all edits, some side by side, each in a copy that nobody else uses meanwhile."""
    copies: SimpleQueue[Copy] = SimpleQueue()
    for number in range(SIDE_BY_SIDE):
        copies.put(Copy(folder / str(number)))
    first = copies.get()
    if not first.is_used():
        sys.exit("the copy of the tree is not what Python imports")
    whole = first.run(tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests)))
    copies.put(first)
    if whole.returncode:
        sys.exit(f"the tests fail without any edit:\n{whole.stdout[-3000:]}")

    def check(mutant: Mutant) -> Result:
        copy = copies.get()
        try:
            result = copy.check(mutant)
        finally:
            copies.put(copy)
        show(result)
        return result

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return list(threads.map(check, mutants))


def show(result: Result) -> None:
    """One line of the table."""
    verdict = "caught" if not result.problem else "PROBLEM"
    by = result.problem or result.by.removeprefix("tests/trust/")
    sys.stdout.write(f"{verdict:8} {result.duration_s:5.1f} s  {result.mutant.name:55} {by}\n")
    sys.stdout.flush()


def main() -> None:
    """Check the edits whose name has the given words in it, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("words", nargs="*", help="only edits with one of these in their name")
    words = parser.parse_args().words
    mutants = read()
    names = [mutant.name for mutant in mutants]
    if len(mutants) < FEWEST or len(set(names)) < len(names):
        sys.exit(f"{LIST.name} must list {FEWEST} edits at least, each under a name of its own")
    mutants = [one for one in mutants if not words or any(word in one.name for word in words)]
    started_s = time.monotonic()
    with TemporaryDirectory(prefix="mutants-") as folder:
        results = check_all(mutants, Path(folder))
    bad = [result for result in results if result.problem]
    sys.stdout.write(f"{len(results) - len(bad)} of {len(results)} caught in {time.monotonic() - started_s:.0f} s\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

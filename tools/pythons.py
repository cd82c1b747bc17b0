"""Runs the tests on each supported Python that this machine has, in environments made from a lock.

A Python is looked for on PATH and among pyenv's. One that is not installed is named in the last line and is no failure:
Debian 12 ships only 3.11. On CI the oldest has to be there.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUPPORTED = ("3.11", "3.12", "3.13")
OLDEST = SUPPORTED[0]

# All tests but those of tools that other targets fetch or build.
SUITE = tuple(f"tests/{part}" for part in ("unit", "component", "contract", "sdk", "backends", "trust", "e2e"))

# Also false for a Debian without python3-venv, and for a shim of pyenv whose version is not selected.
_PROBE = "import ensurepip, venv, platform; print(platform.python_version())"


def candidates(version: str) -> Iterator[Path]:
    """Where a Python of this version may be."""
    name = f"python{version}"
    yield from (Path(folder) / name for folder in os.get_exec_path())
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(pyenv.glob(f"{version}.*/bin/{name}"), key=_patch, reverse=True)


def _patch(python: Path) -> int:
    digits = python.parts[-3].rpartition(".")[2]
    return int(digits) if digits.isdecimal() else -1


def identify(python: Path) -> str:
    """The exact version of a Python that can make environments; empty if there is none."""
    try:
        done = subprocess.run([python, "-Ic", _PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find(version: str) -> tuple[Path, str] | None:
    """A Python of this version, and which one it is exactly."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable), identify(Path(sys.executable))
    for python in candidates(version):
        if exact := identify(python):
            return python, exact
    return None


def install(python: Path, home: Path, lock: Path) -> None:
    """Make an environment of exactly what the lock names, with the hub in it."""
    command: list[str | Path] = [python, ROOT / "tools/environment.py", home, lock, "--editable", "."]
    subprocess.run(command, cwd=ROOT, check=True)


def passes(python: Path, tests: Sequence[str]) -> bool:
    """Run the tests on this Python."""
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-n",
        "auto",
        "-q",
        "-r",
        "fE",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Find, install, test, and say on which versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=Path("requirements/dev.txt"), help="what to install")
    parser.add_argument("--home", type=Path, default=Path(".cache/python"), help="folder of the environments")
    parser.add_argument("--only", choices=SUPPORTED, help="only this version")
    parser.add_argument("--others", action="store_true", help="leave out the version of this environment")
    parser.add_argument("tests", nargs="*", default=SUITE, help="tests to run")
    options = parser.parse_args()
    own = "{}.{}".format(*sys.version_info)
    wanted = [options.only] if options.only else [one for one in SUPPORTED if not (options.others and one == own)]
    found = {version: one for version in wanted if (one := find(version))}
    passed, failed = list[str](), list[str]()
    for version, (python, exact) in found.items():
        say(f"Python {exact} ({python})")
        home = ROOT / options.home / version
        install(python, home, options.lock)
        (passed if passes(home / "bin/python", options.tests) else failed).append(exact)
    missing = [version for version in wanted if version not in found]
    say(f"passed on: {_listed(passed)}; failed on: {_listed(failed)}; not installed: {_listed(missing)}")
    if OLDEST in missing and os.environ.get("CI") == "true":
        sys.exit(f"CI has to test on Python {OLDEST}: install python{OLDEST} and python{OLDEST}-venv")
    return 1 if failed else 0


def say(text: str) -> None:
    """Print a line, before what the commands print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _listed(versions: Sequence[str]) -> str:
    return ", ".join(versions) or "none"


if __name__ == "__main__":
    sys.exit(main())

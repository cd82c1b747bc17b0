"""Writes the lock files from the two ``pyproject.toml``, or checks them.

In ``requirements/``, ``run.txt`` is what a deployed hub may need, ``dev.txt`` that and what developing needs, and
``fuzz.txt`` what a hub and the coverage-guided fuzzer need. The template of a new backend has locks of the same names,
in the same versions, for the SDK and for tests. All are resolved by pip-compile.

The check needs no index: it compares the locks with what the projects declare, and the two projects with each other.
The hub ships the SDK, so it declares what the SDK needs. Neither may require the other: their names are on no index, so
pip would install whatever is registered there under them later.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HUB, SDK = ROOT / "pyproject.toml", ROOT / "sdk/python/pyproject.toml"
OWN = {"appset-hub", "appset-hub-sdk"}
DEVELOPING = {"dev"}  # Extras that a deployed hub never needs.
FUZZING = "fuzz"  # An extra that cannot be installed everywhere; only its own lock has it.
EVERYTHING = "requirements/dev.txt"
FUZZER = "requirements/fuzz.txt"
TEMPLATE = "backends/new/template/requirements"
OLDEST = (3, 11)

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file, what it has to hold, and how pip-compile writes it."""

    path: str
    needs: list[str]
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What it holds now."""
        file = ROOT / self.path
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def pins(self) -> dict[str, str]:
        """The locked version of each package."""
        return {canonicalize_name(package): version for package, version, _ in PIN.findall(self.text)}


def locks() -> list[Lock]:
    """All of them; each later one agrees with the first ones on the versions that they share."""
    agreeing = ("--constraint=requirements/dev.txt", "--no-annotate", "--no-header")
    return [
        Lock(path="requirements/run.txt", needs=declared(developing=False)),
        Lock(path=EVERYTHING, needs=declared(developing=True), options=("--constraint=requirements/run.txt",)),
        Lock(
            path=FUZZER,
            needs=sorted({*declared(developing=False), *extras_of(HUB)[FUZZING]}),
            options=("--constraint=requirements/dev.txt", "--no-annotate"),
        ),
        Lock(path=f"{TEMPLATE}/run.txt.txt", needs=sorted(needs_of(SDK, developing=False)), options=agreeing),
        Lock(path=f"{TEMPLATE}/dev.txt.txt", needs=["pytest"], options=agreeing),
    ]


def needs_of(project: Path, *, developing: bool) -> set[str]:
    """What a project needs, to be built and to run."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    found = {*content["build-system"]["requires"], *content["project"]["dependencies"]}
    for extra, needs in extras_of(project).items():
        if extra != FUZZING and (developing or extra not in DEVELOPING):
            found.update(needs)
    return found


def extras_of(project: Path) -> dict[str, list[str]]:
    """What a project's extras need, by their names."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = content["project"].get("optional-dependencies", {})
    return extras


def declared(*, developing: bool) -> list[str]:
    """What both projects need."""
    return sorted(needs_of(HUB, developing=developing) | needs_of(SDK, developing=developing))


def disagreements() -> list[str]:
    """Where the two projects do not fit together, a line each."""
    hub, sdk = needs_of(HUB, developing=True), needs_of(SDK, developing=True)
    versions = [tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] for project in (HUB, SDK)]
    found = [f'"{need}": is on no index; do not require it' for need in hub | sdk if named(need) in OWN]
    found += [f'"{need}": declared by the SDK, which the hub ships, but not by the hub' for need in sdk - hub]
    if len(set(versions)) > 1:
        found.append("the hub is version {}, the SDK that it ships {}".format(*versions))
    return [f"pyproject.toml: {fault}" for fault in sorted(found)]


def named(need: str) -> str:
    """The name in a requirement."""
    return canonicalize_name(Requirement(need).name)


def write(lock: Lock, *options: str) -> None:
    """Resolve the needs into one lock; pins that still fit are kept."""
    command = [sys.executable, "-m", "piptools", "compile", "-", f"--output-file={lock.path}", *lock.options, *options]
    command += ["--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras"]
    # Where a developer's machine finds packages is nobody else's business.
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    subprocess.run(command, cwd=ROOT, env=environment, input="\n".join(lock.needs), text=True, check=True)
    (ROOT / lock.path).write_text(lock.text.replace("-r -", "pyproject.toml"), encoding="utf-8")


def faults(lock: Lock, everything: dict[str, str]) -> list[str]:
    """What is wrong with one lock, a line each; ``everything`` has the versions that they share."""
    text, pins = lock.text, lock.pins
    found = [f"{package} has no hash" for package, _, hashes in PIN.findall(text) if not hashes]
    found += [f"names a place: {line}" for line in text.splitlines() if "://" in line or line.startswith("--")]
    for name, pin in pins.items():
        if everything.get(name) != pin:
            found.append(f'{name} is {pin} here and {everything.get(name)} in {EVERYTHING}: run "make lock"')
    for need in map(Requirement, lock.needs):
        pin = pins.get(canonicalize_name(need.name), "")
        if need.marker and not need.marker.evaluate():
            continue
        if not pin or not need.specifier.contains(pin, prereleases=True):
            found.append(f'"{need}" is declared, {pin or "nothing"} is locked: run "make lock"')
    return [f"{lock.path}: {fault}" for fault in found]


def main() -> int:
    """Write or check all locks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the locks and write nothing")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    options = parser.parse_args()
    wanted = locks()
    if not options.check:
        if sys.version_info[:2] != OLDEST:
            sys.exit(f"locks are made with the oldest Python that is supported, {OLDEST[0]}.{OLDEST[1]}")
        for lock in wanted:
            write(lock, *(["--upgrade"] if options.upgrade else []))
    locked = {lock.path: lock.pins for lock in wanted}
    everything = {**locked[FUZZER], **locked[EVERYTHING]}
    found = disagreements() + [fault for lock in wanted for fault in faults(lock, everything)]
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

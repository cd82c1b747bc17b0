"""Writes ``requirements/lowest.txt``, or checks it: each direct dependency in the lowest version that is allowed.

What those need in turn is locked as it was resolved, so that a later release changes nothing.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from lock import OLDEST, PIN, ROOT, declared
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LOWEST = Path("requirements/lowest.txt")


def lowest(need: str) -> str:
    """The requirement of exactly the lowest version; empty if there is no lower bound."""
    requirement = Requirement(need)
    bounds = [one.version for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={max(bounds, key=Version)}{marker}" if bounds else ""


def write(pins: list[str]) -> None:
    """Resolve what the pinned packages need; what is locked already and still fits is kept."""
    command = [sys.executable, "-m", "piptools", "compile", "-", f"--output-file={LOWEST}"]
    command += ["--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    subprocess.run(command, cwd=ROOT, env=environment, input="\n".join(pins), text=True, check=True)


def faults(needs: list[str]) -> list[str]:
    """What is wrong with the lock, a line each."""
    text = (ROOT / LOWEST).read_text(encoding="utf-8")
    locked = {canonicalize_name(package): Version(version) for package, version, _ in PIN.findall(text)}
    found = [f"{package} has no hash" for package, _, hashes in PIN.findall(text) if not hashes]
    found += [f"names a place: {line}" for line in text.splitlines() if "://" in line or line.startswith("--")]
    for need in needs:
        name = canonicalize_name(Requirement(need).name)
        if not (pin := lowest(need)):
            found.append(f'"{need}" has no lower bound: give it one, as in "{name}>=1.2"')
        elif not Requirement(pin).specifier.contains(str(locked.get(name, "0")), prereleases=True):
            found.append(f'"{need}" is declared, {locked.get(name, "nothing")} is locked: run "make lock"')
    return [f"{LOWEST}: {fault}" for fault in found]


def main() -> int:
    """Write or check the lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the lock and write nothing")
    options = parser.parse_args()
    needs = declared(developing=True)
    if not options.check:
        if sys.version_info[:2] != OLDEST:
            sys.exit(f"locks are made with the oldest Python that is supported, {OLDEST[0]}.{OLDEST[1]}")
        write([pin for pin in map(lowest, needs) if pin])
    found = faults(needs)
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

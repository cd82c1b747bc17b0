"""Writes the lock files in ``requirements/`` from the two ``pyproject.toml``, or checks them.

``run.txt`` is what a deployed hub may need, ``dev.txt`` that and what developing needs. Both are resolved by
pip-compile. The check needs no index: it compares the locks with what the projects declare, and the two projects with
each other. The hub ships the SDK, so it declares what the SDK needs; neither may require the other, because their names
are on no index, and whoever registers them there would be installed.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HUB, SDK = ROOT / "pyproject.toml", ROOT / "sdk/python/pyproject.toml"
OWN = {"appset-hub", "appset-hub-sdk"}
DEVELOPING = {"dev"}  # Extras that a deployed hub never needs.
OLDEST = (3, 11)

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", re.MULTILINE)


def lock(name: str) -> Path:
    """Where the lock of this name is."""
    return ROOT / "requirements" / f"{name}.txt"


def needs_of(project: Path, *, developing: bool) -> set[str]:
    """What a project needs, to be built and to run."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    found = {*content["build-system"]["requires"], *content["project"]["dependencies"]}
    for extra, needs in content["project"].get("optional-dependencies", {}).items():
        if developing or extra not in DEVELOPING:
            found.update(needs)
    return found


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


def write(name: str, needs: list[str], *options: str) -> None:
    """Resolve the needs into one lock; pins that still fit are kept."""
    command = [sys.executable, "-m", "piptools", "compile", "-", f"--output-file=requirements/{name}.txt", *options]
    command += ["--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras"]
    # Where a developer's machine finds packages is nobody else's business.
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    subprocess.run(command, cwd=ROOT, env=environment, input="\n".join(needs), text=True, check=True)
    resolved = lock(name).read_text(encoding="utf-8")
    lock(name).write_text(resolved.replace("-r -", "pyproject.toml"), encoding="utf-8")


def faults(name: str, needs: list[str]) -> list[str]:
    """What is wrong with one lock, a line each."""
    text = lock(name).read_text(encoding="utf-8")
    pins = {canonicalize_name(package): version for package, version, _ in PIN.findall(text)}
    found = [f"{package} has no hash" for package, _, hashes in PIN.findall(text) if not hashes]
    found += [f"names a place: {line}" for line in text.splitlines() if "://" in line or line.startswith("--")]
    for need in map(Requirement, needs):
        pin = pins.get(canonicalize_name(need.name))
        if need.marker and not need.marker.evaluate():
            continue
        if pin is None or not need.specifier.contains(pin, prereleases=True):
            found.append(f'"{need}" is declared, {pin or "nothing"} is locked: run "make lock"')
    return [f"requirements/{name}.txt: {fault}" for fault in found]


def main() -> int:
    """Write or check both locks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the locks and write nothing")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    options = parser.parse_args()
    wanted = {"run": declared(developing=False), "dev": declared(developing=True)}
    if not options.check:
        if sys.version_info[:2] != OLDEST:
            sys.exit(f"locks are made with the oldest Python that is supported, {OLDEST[0]}.{OLDEST[1]}")
        upgrade = ["--upgrade"] if options.upgrade else []
        write("run", wanted["run"], *upgrade)
        write("dev", wanted["dev"], "--constraint=requirements/run.txt", *upgrade)  # Both agree on what they share.
    found = disagreements() + [fault for name, needs in wanted.items() for fault in faults(name, needs)]
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

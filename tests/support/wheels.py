"""The two distributions of this repository, built as `make dist` does, from a copy of their sources."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

    import pytest

ROOT = Path(__file__).parents[2]
_NO_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")

HUB = "appset_hub"
SDK = "appset_hub_sdk"
SOURCES = {
    HUB: (ROOT, ("pyproject.toml", "README.md", "LICENSE", "hub", "backends", "sdk")),
    SDK: (ROOT / "sdk" / "python", ("pyproject.toml", "README.md", "LICENSE", "appset_hub")),
}


def built(name: str, factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source archive of one of them; built once for all workers of a run."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "distributions"
    place.mkdir(exist_ok=True)
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / name).exists():
            build(name, place / "unfinished" / name).rename(place / name)
    return place / name


def wheel_of(name: str, factory: pytest.TempPathFactory) -> Path:
    """The wheel of one of them."""
    return next(built(name, factory).glob("*.whl"))


def build(name: str, place: Path) -> Path:
    """Build both archives of one of them from a copy of its sources; returns their folder."""
    folder, parts = SOURCES[name]
    sources = place / "sources"
    sources.mkdir(parents=True)
    for part in parts:
        if (folder / part).is_dir():
            shutil.copytree(folder / part, sources / part, ignore=_NO_SOURCES)
        else:
            shutil.copy(folder / part, sources / part)
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", sources]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return place / "dist"


def metadata_of(wheel: Path) -> Message:
    """What a wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def files_of(wheel: Path, *, below: str = "") -> dict[str, bytes]:
    """The files of a wheel whose path begins with ``below``."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith(below)}

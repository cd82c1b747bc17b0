"""Both distributions, built as `make dist` does: what they must carry to be passed on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LICENSE = (ROOT / "LICENSE").read_bytes()
SOURCES = {
    "appset_hub": (ROOT, ("pyproject.toml", "README.md", "LICENSE", "hub", "backends")),
    "appset_hub_sdk": (ROOT / "sdk" / "python", ("pyproject.toml", "README.md", "LICENSE", "appset_hub")),
}


@pytest.fixture(scope="module", params=SOURCES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source archive of one of them."""
    folder, parts = SOURCES[request.param]
    place = tmp_path_factory.mktemp(request.param)
    for part in parts:
        copy = shutil.copytree if (folder / part).is_dir() else shutil.copy
        copy(folder / part, place / part)
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", place]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return place / "dist"


def test_the_wheel_carries_the_licence_and_the_marker_of_its_types(built: Path) -> None:
    [file] = built.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        [licence] = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert wheel.read(licence) == LICENSE
        [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        assert {"License-Expression: Apache-2.0", "License-File: LICENSE"} <= set(
            wheel.read(metadata).decode().splitlines()
        )
        assert [name for name in wheel.namelist() if name.endswith("/py.typed")]


def test_the_source_archive_carries_the_licence(built: Path) -> None:
    [file] = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        [licence] = [
            member for member in archive.getmembers() if member.name.count("/") == 1 and "LICENSE" in member.name
        ]
        content = archive.extractfile(licence)
        assert content is not None
        assert content.read() == LICENSE

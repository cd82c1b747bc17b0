"""`appset-hub-backend sdk`: the wheel that authors install instead of a name on an index."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING

from tests.e2e.support.processes import COMMANDS, run
from tests.support.index import add_wheel, serving
from tests.support.wheels import SDK, files_of, metadata_of, wheel_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PIP = (sys.executable, "-m", "pip", "install", "--no-deps", "--quiet")


def written(folder: Path) -> tuple[Path, str]:
    """The wheel that the command writes, and the requirements file that it prints."""
    folder.mkdir(exist_ok=True)
    done = run(COMMANDS / "appset-hub-backend", "sdk", cwd=folder)
    assert done.code == 0, done
    [wheel] = (folder / "vendor").iterdir()
    return wheel, done.out


def test_it_is_the_sdk_as_its_own_distribution_builds_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wheel, own = written(tmp_path)[0], wheel_of(SDK, tmp_path_factory)
    assert wheel.name == own.name
    assert files_of(wheel, below="appset_hub/") == files_of(own, below="appset_hub/")
    for field in ("Name", "Version", "Summary", "Requires-Python", "License-Expression", "Author", "Provides-Extra"):
        assert metadata_of(wheel)[field] == metadata_of(own)[field], field
    assert sorted(metadata_of(wheel).get_all("Requires-Dist", [])) == sorted(
        metadata_of(own).get_all("Requires-Dist", [])
    )
    licence = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info/licenses/LICENSE"
    assert files_of(wheel)[licence] == files_of(own)[licence]


def test_equal_packages_make_equal_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name)[0] for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}, "the time of day is not in it"


def test_what_it_prints_installs_it_and_looks_nothing_up(tmp_path: Path) -> None:
    wheel, requirements = written(tmp_path)
    (tmp_path / "sdk.txt").write_text(requirements)
    index_folder = tmp_path / "index"
    index_folder.mkdir()
    add_wheel(index_folder, "appset-hub-sdk", "99.0", {"appset_hub/__init__.py": "raise SystemExit('not ours')"})
    with serving(index_folder) as index:
        options = ("--require-hashes", "-r", "sdk.txt", "--target", "installed")
        done = run(*PIP, *options, cwd=tmp_path, env=index.environment)
        assert done.code == 0, done
        assert index.looked_up == []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert (tmp_path / "installed" / name).exists(), name
    assert (tmp_path / "installed" / "appset_hub" / "v1" / "registry_pb2.pyi").exists()


def test_a_changed_wheel_is_refused(tmp_path: Path) -> None:
    wheel, requirements = written(tmp_path)
    (tmp_path / "sdk.txt").write_text(requirements)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("appset_hub/extra.py", "")
    done = run(*PIP, "--require-hashes", "-r", "sdk.txt", "--target", "installed", "--no-index", cwd=tmp_path)
    assert done.code == 1
    assert "DO NOT MATCH THE HASHES" in done.err

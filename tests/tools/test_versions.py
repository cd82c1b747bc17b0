"""Which Python and which versions of packages the project is tested with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = "{}.{}".format(*sys.version_info)
COPIED = ("tools", "pyproject.toml", "sdk/python/pyproject.toml", "requirements")


def run(root: Path, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the checks of locks read, to be changed."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_direct_dependency_is_locked_in_its_lowest_version(checkout: Path) -> None:
    checked = run(checkout, "tools/lowest.py", "--check")
    assert (checked.stderr, checked.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('"protobuf>=', '"protobuf>=8', '"protobuf>=8', id="a higher bound"),
        pytest.param('"click>=8.2"', '"click>=8.1"', '"click>=8.1" is declared, 8.2.0 is locked', id="a lower bound"),
        pytest.param('"click>=8.2"', '"click"', '"click" has no lower bound: give it one', id="no bound"),
        pytest.param('"click>=8.2"', '"nothing>=1"', '"nothing>=1" is declared, nothing is locked', id="not locked"),
    ],
)
def test_a_bound_that_is_not_the_locked_version_is_named(checkout: Path, old: str, new: str, fault: str) -> None:
    rewrite(checkout / "pyproject.toml", old, new)
    checked = run(checkout, "tools/lowest.py", "--check")
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"requirements/lowest.txt: {fault}")


def test_a_lock_without_hashes_or_with_a_place_is_refused(checkout: Path) -> None:
    lock = checkout / "requirements" / "lowest.txt"
    lock.write_text(f"--index-url https://example.org\n{lock.read_text()}\nnothing==1\n")
    checked = run(checkout, "tools/lowest.py", "--check")
    assert checked.stderr.splitlines() == [
        "requirements/lowest.txt: nothing has no hash",
        "requirements/lowest.txt: names a place: --index-url https://example.org",
    ]


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_python_that_is_not_installed_is_named_and_is_no_failure(tmp_path: Path) -> None:
    # As a shim of pyenv, and as Debian's without python3-venv.
    others = [version for version in ("3.11", "3.12", "3.13") if version != OWN]
    script(tmp_path / "bin" / f"python{others[0]}", "echo 'command not found' >&2; exit 127")
    script(tmp_path / "pyenv" / "versions" / f"{others[1]}.9" / "bin" / f"python{others[1]}", "exit 1")
    tested = run(ROOT, "tools/pythons.py", "--others", PATH=str(tmp_path / "bin"), PYENV_ROOT=str(tmp_path / "pyenv"))
    assert tested.stdout == f"passed on: none; failed on: none; not installed: {', '.join(others)}\n"
    assert tested.returncode == 0


def test_on_ci_the_oldest_python_has_to_be_there(checkout: Path) -> None:
    rewrite(checkout / "tools" / "pythons.py", 'SUPPORTED = ("3.11", ', 'SUPPORTED = ("3.0", ')
    tested = run(checkout, "tools/pythons.py", "--only", "3.0", CI="true", PATH="", PYENV_ROOT=str(checkout))
    assert "CI has to test on Python 3.0" in tested.stderr
    assert tested.returncode == 1


# Answers as a Python does, and makes environments with itself in them, in which only tests fail.
FAKE = """case "$*" in
    -Ic*) echo {exact} ;;
    *environment.py" "*) mkdir -p "$2/bin"; cp "$0" "$2/bin/python" ;;
    "-m pytest "*) exit 1 ;;
esac"""


def test_the_newest_python_of_pyenv_is_taken_and_its_failure_is_one(checkout: Path) -> None:
    minor = "3.12" if OWN == "3.13" else "3.13"
    for exact in (f"{minor}.9", f"{minor}.10"):
        script(checkout / "pyenv" / "versions" / exact / "bin" / f"python{minor}", FAKE.format(exact=exact))
    tested = run(
        checkout, "tools/pythons.py", "--only", minor, PYENV_ROOT=str(checkout / "pyenv"), PATH="/usr/bin:/bin"
    )
    assert tested.stdout.splitlines()[-1] == f"passed on: none; failed on: {minor}.10; not installed: none"
    assert tested.returncode == 1

"""Every lock, installed on a day when each of its packages has a newer release.

Nothing is in pip's cache, and pip is the oldest that Python 3.11 came with, Debian 12's, or the newest.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.install.index import NEWER, Index, served
from tests.install.installing import (
    ENVIRONMENT,
    LOCKS,
    PIPS,
    PYTHON,
    ROOT,
    command,
    installed,
    locked_files,
    machine,
    only_when_wanted,
    pinned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [only_when_wanted, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=LOCKS)
def lock(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def index(lock: str) -> Iterator[Index]:
    """The lock's own files, and a newer version of every package."""
    made = Index(locked_files(lock))
    made.offer_newer()
    with served(made):
        yield made


# What an older pip does depends on no lock: it installs the longest one only.
@pytest.mark.parametrize(
    ("lock", "pip"), [*((LOCKS[0], pip) for pip in PIPS), *((lock, PIPS[-1]) for lock in LOCKS[1:])], indirect=["lock"]
)
def test_a_lock_is_installed_as_it_is_although_every_package_has_a_newer_version(
    tmp_path: Path, lock: str, index: Index, pips: Mapping[str, Path], pip: str
) -> None:
    home = tmp_path / "environment"
    done = command(PYTHON, ENVIRONMENT, home, ROOT / lock, "--pip", pips[pip], env=machine(tmp_path, index))
    assert done.code == 0, done
    [line] = [line for line in done.out.splitlines() if "creating it" in line]
    assert "Python 3.11" in line
    wanted = pinned(ROOT / lock)
    assert {name: version for name, version in installed(home).items() if name in wanted} == wanted
    assert set(installed(home)) - set(wanted) <= {"pip"}
    shutil.rmtree(home)  # Some hundred megabytes.


@pytest.mark.parametrize("pip", PIPS[:2])
def test_an_older_pip_that_resolves_the_lock_fails_on_such_a_day(
    tmp_path: Path, pips: Mapping[str, Path], pip: str
) -> None:
    """If it did not, the index would not be what broke every checkout, and the test above would hold nothing."""
    made = Index(locked_files(LOCKS[0]))
    made.offer_newer()
    options = ("install", "--dry-run", "--require-hashes", "--requirement", ROOT / LOCKS[0])
    home = tmp_path / "environment"
    assert command(PYTHON, "-m", "venv", "--without-pip", home).code == 0
    with served(made):
        done = command(home / "bin" / "python", pips[pip] / "pip", *options, env=machine(tmp_path, made))
    assert done.code != 0
    assert "coverage[toml]" in done.out + done.err


def test_the_index_offers_a_newer_version_of_every_package(lock: str, index: Index) -> None:
    for name, version in pinned(ROOT / lock).items():
        page = (index.page(name) or b"").decode()
        assert f"-{version}" in page
        assert f"-{NEWER}-" in page

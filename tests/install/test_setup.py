"""``make setup`` in a copy of this checkout, from an index on loopback that has the locked files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.install.index import Index, served
from tests.install.installing import ROOT, command, locked_files, machine, only_when_wanted

if TYPE_CHECKING:
    from tests.e2e.support.processes import Finished

pytestmark = [only_when_wanted, pytest.mark.timeout(600)]

READY = 'ready: run "make run" to start a hub, or "make test"'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of this checkout, as they are now."""
    listed = command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert listed.code == 0, listed
    for name in filter(None, listed.out.split("\0")):
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    return tmp_path / "checkout"


def make_setup(checkout: Path, index: Index, *arguments: str) -> Finished:
    return command("make", "setup", *arguments, cwd=checkout, env=machine(checkout.parent, index))


def version(checkout: Path) -> str:
    done = command(checkout / ".venv" / "bin" / "appset-hub", "--version", cwd=checkout)
    assert done.code == 0, done
    return done.out


def test_it_shows_its_steps_and_ends_with_what_to_do_next_also_after_a_move(checkout: Path) -> None:
    index = Index(locked_files("requirements/dev.txt"))
    index.offer_newer()
    with served(index):
        done = make_setup(checkout, index)
        assert done.code == 0, done
        *steps, last = done.out.splitlines()
        assert last == READY
        assert len(steps) > 4
        assert all(step.startswith(".venv: ") for step in steps), done
        again = make_setup(checkout, index)
        assert (again.code, again.out.splitlines()) == (0, [READY])
        moved = checkout.rename(checkout.parent / "moved")
        done = make_setup(moved, index)
        assert done.code == 0, done
    assert version(moved).startswith("appset-hub, version ")
    shutil.rmtree(moved)  # Some hundred megabytes.


def test_on_failure_the_last_line_before_makes_own_says_what_to_fix(checkout: Path) -> None:
    with served(Index({})) as index:
        index.status = 403
        done = make_setup(checkout, index)
    assert done.code == 2
    *_, line, makes_own = done.err.splitlines()
    assert line.startswith(".venv: the package index requires a user name and a password")
    assert makes_own.startswith("make: *** ")


def test_an_interpreter_that_is_not_there_is_named(checkout: Path) -> None:
    done = make_setup(checkout, Index({}), "PYTHON=python3.99")
    assert done.code == 2
    assert done.err.startswith("python3.99 is not here: install Python 3.11 or newer")


def test_an_interpreter_that_is_too_old_is_named(checkout: Path) -> None:
    places = sorted(Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python3"))
    if not places:
        pytest.skip("there is no old Python on this machine")
    done = make_setup(checkout, Index({}), f"PYTHON={places[0]}")
    assert done.code == 2
    assert re.match(r"\S+ is Python 3\.\d; this project needs 3\.11 or newer", done.err), done

"""``tools/environment.py`` by itself, with small packages.

What it says when something has to be fixed, and what it repairs.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.e2e.support.processes import Process
from tests.install.index import Index, pin, served, wheel
from tests.install.installing import ENVIRONMENT, PIPS, PYTHON, command, installed, machine, only_when_wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.e2e.support.processes import Finished

pytestmark = [only_when_wanted, pytest.mark.timeout(300)]

ONE = wheel("one", "1.0")


class Place:
    """A lock and the environment that is made from it."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.index = index
        self.home = folder / "home"
        self.lock(ONE)

    def lock(self, files: Mapping[str, bytes]) -> None:
        (self.folder / "lock.txt").write_text(pin(files))

    def command(self, *options: object) -> list[object]:
        return [PYTHON, ENVIRONMENT, "home", "lock.txt", *options]

    def set_up(self, *options: object, **variables: str) -> Finished:
        return command(*self.command(*options), cwd=self.folder, env=machine(self.folder, self.index, **variables))

    def check(self) -> int:
        return command(*self.command("--check"), cwd=self.folder).code

    def works(self) -> bool:
        return command(self.home / "bin" / "pip", "show", "one").code == 0


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index(ONE)
    made.offer_newer()
    with served(made):
        yield made


@pytest.fixture
def place(tmp_path: Path, index: Index) -> Place:
    return Place(tmp_path, index)


def refuses(done: Finished, text: str) -> None:
    """The command has failed, and its last line says what to fix."""
    assert done.code == 1, done
    *_, last = done.err.splitlines()
    assert last.startswith(f"home: {text}"), done


def test_it_says_each_step_and_then_does_nothing_while_nothing_changes(place: Place) -> None:
    done = place.set_up()
    assert done.code == 0, done
    creating, installing, *_, checking, complete = done.out.splitlines()
    assert creating.startswith("home: creating it with Python 3.")
    assert installing == "home: installing 1 packages from lock.txt"
    assert checking == "home: checking that the packages fit together"
    assert complete.startswith("home: complete, ")
    assert done.err == ""
    assert place.check() == 0
    again = place.set_up()
    assert (again.code, again.out) == (0, "")


def test_another_lock_makes_it_again_without_what_is_no_longer_locked(place: Place) -> None:
    assert place.set_up().code == 0
    two = wheel("two", "1.0")
    place.index.files |= two
    place.lock(two)
    assert place.check() == 1
    assert place.set_up().code == 0
    assert installed(place.home).keys() & {"one", "two"} == {"two"}


@pytest.mark.parametrize("variable", ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_PYTHON"])
def test_no_variable_makes_pip_install_elsewhere(place: Place, variable: str) -> None:
    value = {"PIP_DRY_RUN": "1", "PIP_PYTHON": PYTHON}.get(variable, str(place.folder / "elsewhere"))
    done = place.set_up(**{variable: value})
    assert done.code == 0, done
    assert place.works()
    assert not (place.folder / "elsewhere").exists()


@pytest.mark.parametrize("key", ["target", "prefix", "root"])
def test_an_environment_without_what_is_locked_is_not_complete(place: Place, key: str) -> None:
    (place.folder / "pip.conf").write_text(f"[install]\n{key} = {place.folder / 'elsewhere'}\n")
    done = place.set_up(PIP_CONFIG_FILE=str(place.folder / "pip.conf"))
    refuses(done, "1 of the 1 packages in lock.txt are not in it, such as one==1.0; remove target, prefix, root")
    assert place.check() == 1
    assert place.set_up().code == 0
    assert place.works()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("pip", PIPS)
def test_without_a_network_it_names_the_index(place: Place, pips: Mapping[str, Path], pip: str) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}/simple"
    refuses(
        place.set_up("--pip", pips[pip], PIP_INDEX_URL=nowhere), "cannot reach the package index; check the network"
    )


@pytest.mark.parametrize("pip", PIPS)
def test_a_changed_file_names_the_lock(place: Place, pips: Mapping[str, Path], pip: str) -> None:
    place.index.files |= wheel("one", "1.0", requires="something-else")
    done = place.set_up("--pip", pips[pip])
    refuses(done, "a downloaded file does not match its hash in lock.txt")


def test_an_index_without_the_locked_version_is_named(place: Place) -> None:
    del place.index.files[next(iter(ONE))]
    refuses(place.set_up(), "the package index has no one==1.0 for Python 3.")


def test_an_index_that_wants_a_password_is_named(place: Place) -> None:
    place.index.status = 401
    refuses(place.set_up(), "the package index requires a user name and a password")


def test_a_name_that_does_not_resolve_is_a_network_that_is_not_there(place: Place) -> None:
    done = place.set_up(PIP_INDEX_URL="https://index.invalid/simple")
    refuses(done, "cannot reach the package index; check the network")


def test_an_index_without_https_is_named(place: Place) -> None:
    refuses(place.set_up(PIP_INDEX_URL="http://index.invalid/simple"), "pip ignores a package index without https")


def test_a_proxy_that_is_not_there_is_named(place: Place) -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    done = place.set_up(PIP_INDEX_URL="https://index.invalid/simple", HTTPS_PROXY=proxy, https_proxy=proxy)
    refuses(done, "cannot reach the proxy; check HTTP_PROXY")


@pytest.mark.parametrize("pip", PIPS)
def test_a_certificate_of_an_unknown_authority_is_named(tmp_path: Path, pips: Mapping[str, Path], pip: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with served(Index(ONE), context) as index:
        refuses(
            Place(tmp_path, index).set_up("--pip", pips[pip]),
            "the certificate of the package index is not trusted here",
        )


def test_a_lock_with_a_gap_is_named(place: Place) -> None:
    needy = wheel("needy", "1.0", requires="missing")
    place.index.files |= needy
    place.lock(needy)
    refuses(place.set_up(), "lock.txt is not complete (needy 1.0 requires missing, which is not installed)")
    assert place.check() == 1


def test_a_python_without_venv_names_the_package(place: Place) -> None:
    stub = place.folder / "stub" / "ensurepip"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text('raise ModuleNotFoundError("as in Debian\'s python3 alone")')
    done = place.set_up(PYTHONPATH=str(stub.parent))
    refuses(done, PYTHON)
    assert done.err.rstrip().endswith("apt-get install python3-venv")


def test_a_full_disk_is_named(place: Place) -> None:
    mount = 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"'
    small = ("unshare", "--mount", "sh", "-c", mount, "sh", place.home)
    place.home.mkdir()
    if command(*small, "true").code != 0:
        pytest.skip("a small disk takes the right to mount")
    done = command(*small, *place.command(), cwd=place.folder, env=machine(place.folder, place.index))
    refuses(done, "the disk is full; free some space where home and ")


def test_pips_own_setting_for_the_users_packages_does_not_matter(place: Place) -> None:
    assert place.set_up(PIP_USER="1").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_after_an_interruption_the_same_command_goes_through(place: Place, number: signal.Signals) -> None:
    place.index.silent.set()
    with subprocess.Popen(
        [str(part) for part in place.command()],
        cwd=place.folder,
        env=machine(place.folder, place.index),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert place.index.asked.wait(60)
        os.killpg(process.pid, number)  # As a terminal's Ctrl-C, or the end of a container.
        said, _ = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert said.rstrip().endswith("home: interrupted; run the same command again")
    assert place.check() == 1
    place.index.silent.clear()
    assert place.set_up().code == 0
    assert place.works()


def test_half_an_environment_is_made_again(place: Place) -> None:
    assert place.set_up().code == 0
    (place.home / ".ready").unlink()
    shutil.rmtree(next(place.home.glob("lib/python*/site-packages/pip")))
    assert place.set_up().code == 0
    assert place.works()


def test_a_python_that_is_gone_is_replaced(place: Place) -> None:
    assert place.set_up().code == 0
    [real] = [path for path in (place.home / "bin").iterdir() if path.is_symlink() and path.readlink().is_absolute()]
    real.unlink()
    real.symlink_to("/nonexistent/python3.11")
    assert place.check() == 1
    assert place.set_up().code == 0
    assert place.works()


def test_another_version_of_python_in_the_same_path_is_noticed(place: Place) -> None:
    found = next(filter(None, map(shutil.which, ("python3.12", "python3.13"))), None)
    if found is None or command(found, "--version").code != 0:
        pytest.skip("there is only one version of Python on this machine")
    assert place.set_up().code == 0
    [real] = [path for path in (place.home / "bin").iterdir() if path.is_symlink() and path.readlink().is_absolute()]
    real.unlink()
    real.symlink_to(found)
    assert place.check() == 1
    assert place.set_up().code == 0
    assert place.works()


def test_an_environment_that_was_moved_is_made_again(tmp_path: Path, index: Index) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    assert Place(before, index).set_up().code == 0
    before.rename(after)
    moved = Place(after, index)
    assert moved.check() == 1
    assert moved.set_up().code == 0
    assert moved.works()


def test_of_two_at_once_the_second_waits(place: Place) -> None:
    place.index.silent.set()
    environment = machine(place.folder, place.index)
    with Process(*place.command(), cwd=place.folder, env=environment) as first:
        assert place.index.asked.wait(60)
        with Process(*place.command(), cwd=place.folder, env=environment) as second:
            second.says("another process is setting it up; waiting")
            place.index.silent.clear()
            place.index.released.set()
            first.says("complete")
            assert second.wait() == 0
            assert len(second.lines) == 1, second.output
    assert place.works()

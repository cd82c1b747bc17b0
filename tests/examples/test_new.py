"""`appset-hub-backend new`: what it writes is tested, packaged and answers through a real hub."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from glob import glob
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import COMMANDS, Finished, run
from tests.e2e.support.rig import Rig
from tests.support.index import add_wheel, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "backends" / "new" / "template"
NAME = "my-first"
SDK_WHEEL = f"appset_hub_sdk-{version('appset-hub')}-py3-none-any.whl"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for processes; they end with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()


def new(*arguments: object, cwd: Path) -> Finished:
    """Run the command."""
    return run(COMMANDS / "appset-hub-backend", "new", *arguments, cwd=cwd)


def test_its_own_tests_pass(tmp_path: Path) -> None:
    done = new(NAME, cwd=tmp_path)
    assert done.code == 0, done
    tested = run(sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", cwd=tmp_path / NAME)
    assert tested.code == 0, tested
    assert "2 passed" in tested.out


def test_every_file_of_the_template_is_written_and_is_in_our_own_package(tmp_path: Path) -> None:
    assert new(NAME, cwd=tmp_path).code == 0
    written = sorted(str(file.relative_to(tmp_path / NAME)) for file in (tmp_path / NAME).rglob("*") if file.is_file())
    assert written == [
        ".gitignore",
        "Containerfile",
        "README.md",
        "my_first.py",
        "pyproject.toml",
        "requirements/dev.txt",
        "requirements/run.txt",
        "requirements/sdk.txt",
        "tests/test_my_first.py",
        f"vendor/{SDK_WHEEL}",
    ]
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["backends"]
    packaged = {
        file
        for pattern in patterns
        for file in glob(pattern, root_dir=ROOT / "backends")  # noqa: PTH207 - as setuptools: no file with a dot.
    }
    template = {str(file.relative_to(ROOT / "backends")) for file in TEMPLATE.rglob("*.txt")}
    assert len(template) + len(["the wheel"]) == len(written)
    assert template <= packaged


def test_its_package_answers_through_the_hub(rig: Rig) -> None:
    place, installed = rig.folder / "backend", rig.folder / "installed"
    assert new(NAME, "--folder", place, cwd=rig.folder).code == 0
    # What it needs beside the SDK is in this environment already, and no index is asked.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    for what in (("-r", "requirements/sdk.txt"), (".",)):
        subprocess.run([*pip, "--target", installed, *what], check=True, cwd=place)
    rig.configure(backends=[rig.backend(NAME, application_sets=["my-*"])])
    hub = rig.hub()
    options = ("--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / NAME)
    backend = rig.start(installed / "bin" / NAME, *options, env={"PYTHONPATH": str(installed)})
    hub.joined(NAME)
    assert hub.ask(f"{NAME}-1", {"branch": "main"}).sets == [{"branch": "main", "host": "main.example.com"}]
    hub.ask(f"{NAME}-1", {"branch": ""}).refuses(400, "input_refused", NAME)
    assert backend.stop() == 0


def test_the_sdk_is_not_looked_up_even_by_an_installation_that_resolves(tmp_path: Path) -> None:
    place, offered = tmp_path / "backend", tmp_path / "offered"
    offered.mkdir()
    add_wheel(offered, "appset-hub-sdk", "99.0", {"appset_hub/__init__.py": "raise SystemExit('not ours')"})
    assert new(NAME, "--folder", place, cwd=tmp_path).code == 0
    with serving(offered) as index:
        command = (
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-build-isolation",
            "--target",
            "../installed",
        )
        done = run(*command, ".", cwd=place, env=index.environment)
        assert done.code == 0, done
        assert index.looked_up == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("My", 'must be lower-case letters, digits and "-"', id="upper case"),
        pytest.param("1st", "begin with a letter", id="digit"),
        pytest.param("a_b", "must be lower-case", id="underscore"),
        pytest.param("a" * 64, "must be lower-case", id="too long"),
        pytest.param("json", 'would hide the Python module "json"', id="a module of Python"),
        pytest.param("import", "would hide", id="a keyword"),
        pytest.param("appset-hub", 'would hide the Python module "appset_hub"', id="the SDK"),
        pytest.param("appset-hub-sdk", "a package that the backend needs", id="the SDK's package"),
        pytest.param("grpcio", "a package that the backend needs", id="a package that it needs"),
        pytest.param("grpc", 'would hide the Python module "grpc"', id="a module that it needs"),
        pytest.param("google", 'would hide the Python module "google"', id="a part of such a module"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path, name: str, message: str) -> None:
    done = new(name, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / NAME / "mine"
    mine.parent.mkdir()
    mine.write_text("precious")
    done = new(NAME, cwd=tmp_path)
    assert done.code == 2
    assert "is not empty; nothing was written" in done.err
    assert list(mine.parent.iterdir()) == [mine]

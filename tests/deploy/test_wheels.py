"""The built wheels in fresh environments, and a new backend, installed as the documentation says.

Every installation asks an index on loopback. It has what the locks hold, and what an attacker could register: a newer
appset-hub and a newer appset-hub-sdk. The first download brings the lock's packages from wherever the machine has them,
so this happens only with APPSET_HUB_TEST_WHEELS=1: `make test-wheels`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import Process
from tests.e2e.support.quickstart import DOCUMENTED, TWO_SETS, curl, fixed_ports
from tests.e2e.support.rig import ROOT
from tests.support.index import Index, add_wheel, serving
from tests.support.wheels import HUB, SDK, build, wheel_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)

TEMPLATE = ROOT / "backends" / "new" / "template" / "requirements"
OURS = {"appset-hub", "appset-hub-sdk", "my-first"}


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None, code: int = 0) -> str:
    """What a command says; installing takes as long as it takes."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the index."""
    if os.environ.get("APPSET_HUB_TEST_WHEELS") != "1":
        pytest.skip("run make test-wheels to install the wheels")
    folder = tmp_path_factory.mktemp("offered")
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder)
    locks = (ROOT / "requirements" / "run.txt", TEMPLATE / "run.txt.txt", TEMPLATE / "dev.txt.txt")
    for lock in (*locks, ROOT / "tests" / "deploy" / "pipx.txt"):
        run(*download, "--require-hashes", "--requirement", lock)
    run(*download, "pip")  # pipx keeps one of its own.
    for name in ("appset-hub", "appset-hub-sdk"):
        add_wheel(folder, name, "99.0", {"appset_hub/__init__.py": "raise SystemExit('not ours')"})
    return folder


@pytest.fixture(scope="module")
def served(offered: Path) -> Iterator[Index]:
    """The index."""
    with serving(offered) as index:
        yield index


@pytest.fixture
def index(served: Index) -> Iterator[Index]:
    """The index; whatever happens in a test, our names were not looked up there."""
    yield served
    assert OURS.isdisjoint(served.looked_up)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(HUB, tmp_path_factory)


def answers(appset_hub: Path, cwd: Path, index: Index) -> None:
    """Run the quick start of an installation, and ask as the README does."""
    environment = {**index.environment, "PATH": f"{appset_hub.parent}:{os.environ['PATH']}"}
    with fixed_ports(), Process(appset_hub, "quickstart", cwd=cwd, env=environment) as one:
        one.says("Ctrl-C stops all of it.")
        assert curl(DOCUMENTED).sets == TWO_SETS
        [listing] = [line.strip() for line in one.lines if "backends list" in line]
        assert listing.startswith("appset-hub backends list --config ")
        assert "digests" in run(*shlex.split(listing), cwd=cwd, env=environment)
        assert one.stop() == 0


def test_the_lock_and_the_wheel_make_a_hub_whose_quick_start_answers(tmp_path: Path, index: Index, wheel: Path) -> None:
    bin_folder = tmp_path / "venv" / "bin"
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    pip = (bin_folder / "pip", "install", "--quiet", "--no-deps")
    run(*pip, "--require-hashes", "--requirement", "requirements/run.txt", env=index.environment)
    run(*pip, "--no-index", wheel, env=index.environment)
    run(bin_folder / "pip", "check")
    assert run(bin_folder / "appset-hub", "--version").startswith("appset-hub, version ")
    answers(bin_folder / "appset-hub", tmp_path, index)


def test_pipx_installs_the_wheel_and_its_quick_start_answers(tmp_path: Path, index: Index, wheel: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "tool")
    install = ("install", "--quiet", "--no-deps", "--require-hashes", "--requirement", "tests/deploy/pipx.txt")
    run(tmp_path / "tool" / "bin" / "pip", *install, env=index.environment)
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin"), "PIPX_MAN_DIR": str(tmp_path)}
    run(tmp_path / "tool" / "bin" / "pipx", "install", wheel, env={**index.environment, **places})
    assert run(tmp_path / "bin" / "appset-hub", "--version").startswith("appset-hub, version ")
    assert (tmp_path / "bin" / "appset-hub-backend").exists()
    answers(tmp_path / "bin" / "appset-hub", tmp_path, index)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, served: Index, wheel: Path) -> Path:
    """The commands of an environment with the hub."""
    place = tmp_path_factory.mktemp("hub")
    run(sys.executable, "-m", "venv", place)
    run(place / "bin" / "pip", "install", "--quiet", wheel, env=served.environment)
    return place / "bin"


def test_a_hub_whose_sdk_was_uninstalled_says_so(
    hub: Path, wheel: Path, index: Index, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run(hub / "pip", "install", "--quiet", wheel_of(SDK, tmp_path_factory), env=index.environment)
    run(hub / "pip", "check")
    run(hub / "appset-hub", "config", "check", "--config", ROOT / "examples" / "quickstart" / "hub.yaml")
    run(hub / "pip", "uninstall", "--quiet", "--yes", "appset-hub-sdk")
    said = run(hub / "appset-hub", "serve", "--dev", code=1)
    assert said.splitlines()[-1].startswith('error: the package "appset_hub" is missing; ')
    assert "Traceback" not in said
    run(hub / "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel, env=index.environment)
    run(hub / "appset-hub-backend", "--help")


@pytest.fixture
def project(tmp_path: Path, hub: Path) -> Path:
    """A new backend, from an installed hub."""
    run(hub / "appset-hub-backend", "new", "my-first", cwd=tmp_path)
    return tmp_path / "my-first"


def test_the_readme_of_a_new_backend_installs_and_tests_it(project: Path, index: Index) -> None:
    readme = (project / "README.md").read_text().replace("\\\n", " ")
    block = re.findall(r"^```console\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)[0]
    said = [
        run(*shlex.split(line.removeprefix("$ ")), cwd=project, env=index.environment) for line in block.splitlines()
    ]
    assert "2 passed" in said[-1]
    run(project / ".venv" / "bin" / "pip", "check")
    assert "requires" not in run(project / ".venv" / "bin" / "my-first", "--help")


def test_the_image_of_a_new_backend_is_built_from_its_own_files(project: Path, index: Index, tmp_path: Path) -> None:
    """The build stage of the Containerfile, step by step, in folders in the place of the container's."""
    build, _, _ = (project / "Containerfile").read_text().replace("\\\n", " ").partition("FROM ${BASE}\n")
    source, target = tmp_path / "src", tmp_path / "opt" / "backend"
    source.mkdir()
    environment = {**index.environment, "PATH": f"{target}/bin:{os.environ['PATH']}"}
    for line in build.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "COPY":
            run("cp", "-r", *shlex.split(rest)[:-1], source / shlex.split(rest)[-1], cwd=project)
        elif instruction == "RUN":
            run("sh", "-ec", rest.replace("/opt/backend", str(target)), cwd=source, env=environment)
    assert "--hub" in run(target / "bin" / "my-first", "--help")
    assert not (target / "bin" / "pip").exists()


def test_a_new_backends_wheel_needs_nothing_of_ours_from_an_index(project: Path, index: Index, hub: Path) -> None:
    wheel = (hub / "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".")
    run(*wheel, cwd=project, env=index.environment)
    assert [file.name for file in (project / "dist").iterdir()] == ["my_first-0.1.0-py3-none-any.whl"]


@pytest.mark.parametrize("name", [HUB, SDK])
def test_the_same_sources_give_the_same_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = (next(build(name, tmp_path / place).glob("*.whl")).read_bytes() for place in ("one", "two"))
    assert first == second

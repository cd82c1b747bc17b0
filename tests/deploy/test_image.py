"""The image: its Containerfile linted; built and started without a daemon, where it is asked for.

Building brings a Debian and the lock's packages, so it happens only with APPSET_HUB_TEST_IMAGE=1: `make test-image`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.deploy.debian import need_privileges
from tests.deploy.image import CONTAINERFILE, built_image
from tests.deploy.pods import Pod
from tests.deploy.rendering import ROOT, run, tool
from tests.e2e.support.processes import COMMANDS
from tests.e2e.support.processes import run as command
from tests.e2e.support.rig import Hub, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.deploy.image import Image
    from tests.deploy.rendering import Document

pytestmark = pytest.mark.timeout(900)  # The first build brings a Debian, from wherever the machine has it.


def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    run(tool("hadolint"), CONTAINERFILE)
    assert command(COMMANDS / "appset-hub-backend", "new", "one", cwd=tmp_path).code == 0
    run(tool("hadolint"), tmp_path / "one" / "Containerfile")


def test_commands_in_a_pod_find_the_configuration_that_its_hub_has() -> None:
    named = re.search(r"HUB_CONFIG=(\S+)", CONTAINERFILE.read_text())
    assert named is not None
    folder = ROOT / "deploy" / "kustomize"
    for manifest in ("base/stateful-set.yaml", "components/sidecar/controller.yaml"):
        assert re.findall(r"--config, (\S+)\]", (folder / manifest).read_text()) == [named[1]], manifest


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, built."""
    if os.environ.get("APPSET_HUB_TEST_IMAGE") != "1":
        pytest.skip("run make test-image to build it")
    need_privileges()
    with built_image() as built:
        yield built


def test_the_command_says_its_version(image: Image) -> None:
    assert run(*image.container("appset-hub", "--version")).startswith("appset-hub, version ")


def test_a_command_without_an_option_reads_the_configuration_of_the_pod(image: Image) -> None:
    said = run(*image.container("sh", "-c", "appset-hub held 2>&1 || true"))
    assert "HUB_CONFIG=/etc/appset-hub/hub.yaml" in said


def test_it_runs_as_nobody_in_particular_and_writes_nowhere(image: Image) -> None:
    assert run(*image.container("id")).strip() == "uid=65532 gid=65532 groups=65532"
    # Whose folder anybody may write to, unless the root is read-only.
    said = run(*image.container("sh", "-c", "touch /tmp/mine 2>&1 || true"))
    assert "Read-only file system" in said


def test_it_has_what_the_hub_needs_and_no_installer(image: Image) -> None:
    python = (
        "import importlib.util as i; print([n for n in ('hub', 'backends', 'appset_hub', 'pip') if i.find_spec(n)])"
    )
    assert (
        run(*image.container("/opt/appset-hub/bin/python", "-c", python)).strip() == "['hub', 'backends', 'appset_hub']"
    )


def test_hub_and_backend_answer_as_their_pods_start_them(
    rig: Rig, image: Image, standalone: Mapping[str, list[Document]]
) -> None:
    pod = Pod(rig.folder / "hub", standalone["mutual-tls"], "appset-hub", "hub")
    assert pod.command == image.config["Cmd"]
    assert pod.user == tuple(map(int, image.config["User"].split(":")))
    pod.hand_over()
    hosts = rig.folder / "hosts"
    hosts.write_text("127.0.0.1 appset-hub-backends\n")  # In the place of the cluster's name service.
    ports = [part for name in ("http", "grpc", "admin") for part in (f"--{name}", "127.0.0.1:0")]
    with Hub(*image.container(*pod.command, *ports, mounts=pod.mounts)) as hub:
        hub.started()
        backend = Pod(rig.folder / "backend", standalone["mutual-tls"], "appset-hub-static", "backend")
        backend.hand_over()
        ports_here = {
            "--hub=appset-hub-backends:4356": f"--hub=appset-hub-backends:{hub.grpc}",
            "--admin=:4358": "--admin=127.0.0.1:0",
        }
        arguments = [ports_here.get(each, each) for each in backend.command]
        static = rig.start(*image.container(*arguments, mounts={**backend.mounts, "/etc/hosts": (hosts, True)}))
        hub.joined("static")
        assert hub.ask("fake-appset", token="argocd-token").sets == [{"key1": "val1", "key2": "val2"}]
        assert static.stop() == 0
        assert hub.stop() == 0
        assert hub.events("hub_stopping")

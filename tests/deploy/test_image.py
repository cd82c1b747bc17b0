"""The image: its Containerfile linted; built and started without a daemon, where it is asked for.

Building takes minutes and brings a Debian and the lock's packages, so it happens only with APPSET_HUB_TEST_IMAGE=1, as
root, with `buildah` and `debootstrap` of Debian. The base is made here, and stands in for the one of the Containerfile.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.rendering import KUSTOMIZE_FOLDER, ROOT, TOOLS, run, tool
from tests.e2e.support.processes import COMMANDS
from tests.e2e.support.processes import run as command
from tests.e2e.support.rig import Hub, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
BASE = "localhost/appset-hub-base"
IMAGE = "localhost/appset-hub"
# Isolation and storage that need neither a daemon nor a kernel's help.
FLAGS = ("--storage-driver", "vfs")
ISOLATION = ("--isolation", "chroot")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for processes; they end with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()


def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    run(tool("hadolint"), CONTAINERFILE)
    assert command(COMMANDS / "appset-hub-backend", "new", "one", cwd=tmp_path).code == 0
    run(tool("hadolint"), tmp_path / "one" / "Containerfile")


def buildah_command(*arguments: object) -> list[object]:
    """The command, with a storage of its own."""
    storage = TOOLS / "containers"
    return ["buildah", *FLAGS, "--root", storage / "root", "--runroot", storage / "run", *arguments]


def buildah(*arguments: object) -> str:
    """Run buildah; returns the last line that it says."""
    return run(*buildah_command(*arguments)).strip().rpartition("\n")[2]


def make_base() -> None:
    """A Debian with Python, from its packages; made once."""
    if BASE in run(*buildah_command("images")):
        return
    debian = TOOLS / "debian"
    shutil.rmtree(debian, ignore_errors=True)
    packages = "python3,python3-venv,ca-certificates"
    run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", debian)
    made = buildah("from", "scratch")
    buildah("add", "--quiet", made, debian, "/")
    buildah("commit", "--quiet", "--rm", made, BASE)


@pytest.mark.skipif(os.environ.get("APPSET_HUB_TEST_IMAGE") != "1", reason="set APPSET_HUB_TEST_IMAGE=1 to build it")
@pytest.mark.timeout(1800)
def test_the_image_is_built_starts_and_stops_without_a_daemon(rig: Rig) -> None:
    make_base()
    # The machine's own authorities, so that pip believes its index where one stands in between.
    certificates = ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--env", "SSL_CERT_FILE")
    options = ("--pull-never", "--build-arg", f"BASE={BASE}", *certificates, "--file", CONTAINERFILE, "--tag", IMAGE)
    buildah("build", *ISOLATION, *options, ROOT)
    container = buildah("from", "--pull-never", IMAGE)
    try:
        assert "uid=65532 gid=65532" in buildah("run", *ISOLATION, container, "--", "id")
        assert buildah("run", *ISOLATION, container, "--", "appset-hub", "--version").startswith("appset-hub, version ")
        assert buildah("run", *ISOLATION, container, "--", "sh", "-c", "touch /x 2>/dev/null || echo no") == "no"
        answers(rig, container)
    finally:
        buildah("rm", container)


def answers(rig: Rig, container: str) -> None:
    """Start the image's own command with the files of the dev overlay, and call it."""
    tokens = rig.folder / "tokens"
    for name in ("argocd", "static"):
        rig.token(name)
    mounts = {KUSTOMIZE_FOLDER / "overlays" / "dev": "/etc/appset-hub", tokens: "/run/secrets/appset-hub"}
    volumes = [part for place, inside in mounts.items() for part in ("--volume", f"{place}:{inside}:ro")]
    before = buildah_command("run", *ISOLATION, *volumes, container, "--")
    ports = [part for name in ("http", "grpc", "admin") for part in (f"--{name}", "127.0.0.1:0")]
    serve = ("appset-hub", "serve", "--config", "/etc/appset-hub/hub.yaml", *ports)
    with Hub(*before, *serve) as hub:
        hub.started()
        backend = ("appset-hub-backend", "static", "--config", "/etc/appset-hub/static.yaml")
        where = ("--hub", hub.grpc_address, "--token-file", "/run/secrets/appset-hub/static")
        static = rig.start(*before, *backend, *where)
        hub.joined("static")
        assert hub.ask("fake-appset").sets[0] == {"key1": "val1", "key2": "val2"}
        # buildah does not pass the signal on, so it goes to the processes themselves.
        for process in (static, hub):
            os.kill(served_by(process.pid), signal.SIGTERM)
            assert process.wait() == 0
        assert hub.events("hub_stopping")


def served_by(pid: int) -> int:
    """The process at the end of a chain of parents."""
    while children := [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]:
        [pid] = children
    return pid

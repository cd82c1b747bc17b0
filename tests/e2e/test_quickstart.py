"""The documentation's own example, word for word, with real curl."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.calls import Reply
from tests.e2e.support.processes import COMMANDS, run
from tests.e2e.support.rig import ROOT, Hub, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Rig

QUICKSTART = ROOT / "examples" / "quickstart"
FIXED_PORTS = (4355, 4356, 4357, 50051)

# As Argo CD's documentation has it.
DOCUMENTED = (
    'curl http://localhost:4355/api/v1/getparams.execute -H "Authorization: Bearer strong-password" -d '
    '\'{"applicationSetName": "fake-appset", "input": {"parameters": {"param1": "value1"}}}\''
)
MATRIX = DOCUMENTED.replace("fake-appset", "fb-matrix")

TWO_SETS = [{"key1": "val1", "key2": "val2"}, {"key1": "val2", "key2": "val2"}]
DIGESTS = {
    "feature-branch-1": {
        "digestFront": "sha256:a3f18c17771cc1051b790b453a0217b585723b37f14b413ad7c5b12d4534d411",
        "digestBack": "sha256:4411417d614d5b1b479933b7420079671facd434fd42db196dc1f4cc55ba13ce",
    },
    "feature-branch-2": {
        "digestFront": "sha256:7c20b927946805124f67a0cb8848a8fb1344d16b4d0425d63aaa3f2427c20497",
        "digestBack": "sha256:e55e7e40700bbab9e542aba56c593cb87d680cefdfba3dd2ab9cfcb27ec384c2",
    },
}


def for_branch(branch: str) -> str:
    return MATRIX.replace('{"param1": "value1"}', json.dumps({"branch": branch}))


def curl(line: str, port: int = 4355) -> Reply:
    """Run a documented line, with at most its port changed."""
    command = shlex.split(line.replace("localhost:4355", f"localhost:{port}"))
    done = run(*command, "--silent", "--show-error", "--include", "--max-time", "20")
    assert done.code == 0, done
    head, _, body = done.out.partition("\n\n")
    status, *fields = head.splitlines()
    headers = {key.lower(): value.strip() for key, _, value in (field.partition(":") for field in fields)}
    return Reply(int(status.split()[1]), headers, body.encode())


@pytest.fixture(scope="module")
def hub(shared_rig: Rig) -> Hub:
    """The quick start's own files, on free ports: the two settings that differ are overridden by flags."""
    shutil.copytree(QUICKSTART, shared_rig.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".cache"))
    digests = shared_rig.start(
        *(COMMANDS / "appset-hub-backend", "static", "--name", "digests", "--config", "digests.yaml"),
        *("--listen", "127.0.0.1:0"),
    )
    text = shared_rig.config.read_text()
    shared_rig.config.write_text(text.replace("127.0.0.1:50051", f"127.0.0.1:{port_of(digests)}"))
    hub = shared_rig.hub(
        *("--store", "memory:"),
        env={f"HUB_LISTEN_{port}": "127.0.0.1:0" for port in ("HTTP", "GRPC", "ADMIN")},
    )
    shared_rig.start(
        *(COMMANDS / "appset-hub-backend", "static", "--name", "hello", "--config", "hello.yaml"),
        *("--hub", hub.grpc_address, "--token-file", "hello.token"),
    )
    hub.joined("hello", "digests")
    return hub


def test_the_documented_line_gives_the_two_sets(hub: Hub) -> None:
    reply = curl(DOCUMENTED, hub.http)
    assert reply.sets == TWO_SETS
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize("branch", DIGESTS)
def test_a_feature_branch_gets_its_digests(hub: Hub, branch: str) -> None:
    assert curl(for_branch(branch), hub.http).sets == [DIGESTS[branch]]


def test_a_wrong_token_is_a_403_with_a_message(hub: Hub) -> None:
    curl(DOCUMENTED.replace("strong-password", "weak-password"), hub.http).refuses(403, "token_wrong", "token")


def test_another_path_is_a_404_with_a_message(hub: Hub) -> None:
    curl(DOCUMENTED.replace("getparams", "getsecrets"), hub.http).refuses(404, "unknown_path", "path")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """A copy of the quick start, while nobody else uses its ports."""
    lock = Path(tempfile.gettempdir()) / f"appset-hub-quickstart-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        taken = [port for port in FIXED_PORTS if not is_free(port)]
        if taken:
            pytest.skip(f"somebody on this machine uses the fixed ports of `make run`: {taken}")
        yield Path(shutil.copytree(QUICKSTART, tmp_path / "quickstart", ignore=shutil.ignore_patterns(".cache")))


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture
def everything(rig: Rig, alone: Path) -> Iterator[Process]:
    """What ``make run`` starts. It ends its parts itself, and so is asked to, whatever happened."""
    process = rig.start(sys.executable, alone / "run.py")
    yield process
    if process.alive:
        process.stop()


def test_make_run_shows_a_hub_and_two_backends_and_ctrl_c_ends_all(everything: Process) -> None:
    everything.says("Ctrl-C ends all of it.")
    assert curl(DOCUMENTED).sets == TWO_SETS
    for branch, digests in DIGESTS.items():
        assert curl(for_branch(branch)).sets == [digests]
    everything.says("answered")
    assert not any("│ {" in line for line in everything.lines), "these logs are for a person"
    everything.signal(signal.SIGINT)
    assert everything.wait() == 0, everything.output
    assert [port for port in FIXED_PORTS if not is_free(port)] == []


def test_make_run_prints_the_documented_lines_to_try() -> None:
    printed = (QUICKSTART / "run.py").read_text().replace("\\\\\n    ", "")
    assert DOCUMENTED in printed
    assert for_branch("feature-branch-1") in printed

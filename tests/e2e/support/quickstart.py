"""The quick start as the documentation has it, and copies of it on ports of their own."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import socket
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.calls import Reply
from tests.e2e.support.processes import COMMANDS, run, until
from tests.e2e.support.rig import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def fixed_ports() -> Iterator[None]:
    """While no other test uses the ports of the quick start."""
    lock = Path(tempfile.gettempdir()) / f"appset-hub-quickstart-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        taken = [port for port in FIXED_PORTS if not is_free(port)]
        if taken:
            pytest.skip(f"a program on this machine uses the ports of the quick start: {taken}")
        yield


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class Copy:
    """A copy of the quick start on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(QUICKSTART, self.folder)
        self.config = self.folder / "hub.yaml"
        self.ports = dict(zip(FIXED_PORTS, free_ports(len(FIXED_PORTS)), strict=True))
        text = self.config.read_text()
        for port, own in self.ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")
        self.config.write_text(text)

    @property
    def http(self) -> int:
        return self.ports[4355]

    @property
    def command(self) -> list[str]:
        return [str(COMMANDS / "appset-hub"), "quickstart", "--config", str(self.config)]

    def leaves_nothing(self) -> None:
        """Wait until every port is free again."""
        until(lambda: all(map(is_free, self.ports.values())), "every port is free")

"""The documentation's own example, word for word, with real curl."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.calls import Connection, Reply
from tests.e2e.support.processes import COMMANDS, Process, run, until, without_settings
from tests.e2e.support.rig import ROOT, Hub, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    shutil.copytree(QUICKSTART, shared_rig.folder, dirs_exist_ok=True)
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
def alone() -> Iterator[None]:
    """While no other test uses the ports of the quick start."""
    lock = Path(tempfile.gettempdir()) / f"appset-hub-quickstart-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        taken = [port for port in FIXED_PORTS if not is_free(port)]
        if taken:
            pytest.skip(f"a program on this machine uses the ports of the quick start: {taken}")
        yield


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.usefixtures("alone")
def test_the_quick_start_answers_the_documented_lines_and_ctrl_c_ends_all(rig: Rig) -> None:
    everything = rig.start(COMMANDS / "appset-hub", "quickstart")
    everything.says("Ctrl-C ends all of it.")
    assert "hub_started" in everything.lines[0]
    assert "WARNING" not in everything.output
    printed = everything.output.replace("\\\n    ", "")
    for line in (DOCUMENTED, for_branch("feature-branch-1")):
        assert line in printed
    assert curl(DOCUMENTED).sets == TWO_SETS
    for branch, digests in DIGESTS.items():
        assert curl(for_branch(branch)).sets == [digests]
    [listing] = [line.strip() for line in everything.lines if "backends list" in line]
    assert "digests" in run(*shlex.split(listing), cwd=rig.folder).out
    everything.says("answered")
    assert not any("│ {" in line for line in everything.lines), "these logs are for a person"
    everything.signal(signal.SIGINT)
    assert everything.wait() == 0, everything.output
    assert [port for port in FIXED_PORTS if not is_free(port)] == []


class Quickstart:
    """A copy of the quick start on ports of its own, and the processes that run it."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.folder = rig.folder / "quickstart"
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

    def start(self) -> Process:
        return self._rig.start(*self.command)

    def ready(self) -> Process:
        process = self.start()
        process.says("Ctrl-C ends all of it.")
        return process

    def leaves_nothing(self) -> None:
        """Wait until every port is free again."""
        until(lambda: all(map(is_free, self.ports.values())), "every port is free")


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


@pytest.fixture
def quickstart(rig: Rig) -> Iterator[Quickstart]:
    """Nothing of it is left after a test."""
    made = Quickstart(rig)
    yield made
    rig.close()
    made.leaves_nothing()


def part(process: Process, words: str) -> int:
    """The process id of the part with these words in its command line."""
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if words in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
            return int(pid)
    raise AssertionError(words)


SETTINGS = {4355: "listen.http", 4356: "listen.grpc", 4357: "listen.admin", 50051: "backends[1].address"}


@pytest.mark.parametrize("port", FIXED_PORTS)
def test_a_taken_port_is_named_with_its_setting_and_nothing_is_started(quickstart: Quickstart, port: int) -> None:
    own = quickstart.ports[port]
    with socket.create_server(("127.0.0.1", own)):
        done = run(*quickstart.command)
    assert done.code == 1, done
    assert done.out == "", "nothing was started"
    first, last = done.err.splitlines()
    assert first == (
        f"error: cannot listen on 127.0.0.1:{own}: port {own} is already in use "
        f"({SETTINGS[port]} in {quickstart.config})"
    )
    assert last.startswith("error: nothing was started; stop what uses the port")


def test_every_taken_port_is_named_at_once(quickstart: Quickstart) -> None:
    with ExitStack() as stack:
        for port in quickstart.ports.values():
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        done = run(*quickstart.command)
    assert done.code == 1
    assert [setting for setting in SETTINGS.values() if f"({setting} in " not in done.err] == []


def test_a_port_of_the_environment_is_blamed_on_its_variable(quickstart: Quickstart) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*quickstart.command, env={"HUB_LISTEN_HTTP": f"127.0.0.1:{port}"})
    assert done.code == 1
    assert f"port {port} is already in use (the variable HUB_LISTEN_HTTP)" in done.err


def test_a_program_that_localhost_would_reach_first_counts_as_well(quickstart: Quickstart) -> None:
    try:
        taken = socket.create_server(("::1", quickstart.http), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with taken:
        done = run(*quickstart.command)
    assert done.code == 1
    assert f'[::1]:{quickstart.http}: port {quickstart.http} of "localhost" is already in use' in done.err


@pytest.mark.parametrize("setting", ["http", "admin"])
def test_a_port_that_the_system_chooses_is_refused(quickstart: Quickstart, setting: str) -> None:
    done = run(*quickstart.command, env={f"HUB_LISTEN_{setting.upper()}": "127.0.0.1:0"})
    assert done.code == 2
    assert f"listen.{setting}" in done.err
    assert "needs a port other than 0" in done.err


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        pytest.param("digests.yaml", "answers: 1", "digests", id="a dialled backend"),
        pytest.param("hello.yaml", "answers: 1", "hello", id="an attached backend"),
        pytest.param("hub.yaml", "/dev/null/store", "hub", id="the hub"),
    ],
)
def test_a_part_that_ends_while_it_starts_ends_all_and_is_named(
    quickstart: Quickstart, file: str, text: str, name: str
) -> None:
    path = quickstart.folder / file
    path.write_text(path.read_text().replace("memory:", f"sqlite:{text}") if name == "hub" else text)
    process = quickstart.start()
    assert process.wait() == 1, process.output
    assert process.lines[-1].startswith(f'error: "{name}" ended while it started (exit code ')
    assert "Ctrl-C ends all of it." not in process.output
    assert any(line.lstrip().startswith(f"{name} │ ") for line in process.lines), "its own lines say why"
    quickstart.leaves_nothing()


def test_a_hub_that_is_killed_ends_all_and_is_named(quickstart: Quickstart) -> None:
    process = quickstart.ready()
    os.kill(part(process, "appset-hub serve"), signal.SIGKILL)
    assert process.wait() == 1
    assert process.lines[-1] == 'error: "hub" ended (killed by SIGKILL); everything was stopped'
    quickstart.leaves_nothing()


def test_a_backend_that_is_killed_is_named_and_the_hub_goes_on(quickstart: Quickstart) -> None:
    process = quickstart.ready()
    os.kill(part(process, "--name hello"), signal.SIGKILL)
    process.says("hello │ ended (killed by SIGKILL)")
    connection = Connection(quickstart.http)
    connection.ask("fake-appset", token="strong-password").refuses(503, "backend_absent", "hello")
    connection.close()
    assert process.stop() == 0
    quickstart.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_end_of_the_program_or_of_its_terminal_ends_all(quickstart: Quickstart, number: signal.Signals) -> None:
    process = quickstart.ready()
    process.signal(number)
    assert process.wait() == 0
    quickstart.leaves_nothing()


def test_ctrl_c_during_the_start_ends_all_without_a_traceback(quickstart: Quickstart) -> None:
    process = quickstart.start()
    process.says("hub_started")
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.output
    quickstart.leaves_nothing()


def test_nothing_is_left_when_it_is_killed_itself(quickstart: Quickstart) -> None:
    quickstart.ready().kill()
    quickstart.leaves_nothing()


def test_nothing_is_left_when_its_output_is_closed(quickstart: Quickstart) -> None:
    command = quickstart.command
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=without_settings()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"hub_started" in process.stdout.readline()
        process.stdout.close()
        process.wait(25)
        assert process.stderr.read() == b""
    quickstart.leaves_nothing()


def test_it_writes_nothing_to_its_folder(quickstart: Quickstart) -> None:
    before = {file: file.stat().st_mtime_ns for file in quickstart.folder.rglob("*")}
    assert quickstart.ready().stop() == 0
    assert {file: file.stat().st_mtime_ns for file in quickstart.folder.rglob("*")} == before

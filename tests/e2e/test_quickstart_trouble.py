"""The quick start when something goes wrong: it says what, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.calls import Connection
from tests.e2e.support.processes import Process, run, until, without_settings
from tests.e2e.support.quickstart import FIXED_PORTS, Copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.rig import Rig


class Started(Copy):
    """A copy, and the processes that run it."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.folder / "quickstart")
        self._rig = rig

    def start(self) -> Process:
        return self._rig.start(*self.command)

    def ready(self) -> Process:
        process = self.start()
        process.says("Ctrl-C stops all of it.")
        return process


@pytest.fixture
def quickstart(rig: Rig) -> Iterator[Started]:
    """Nothing of it is left after a test."""
    made = Started(rig)
    yield made
    rig.close()
    made.leaves_nothing()


def parts(process: Process, words: str) -> list[int]:
    """The process ids of the parts with these words in their command lines."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children}
    return [pid for pid, command in commands.items() if words in command and "leash.py" not in command]


SETTINGS = {4355: "listen.http", 4356: "listen.grpc", 4357: "listen.admin", 50051: "backends[1].address"}


@pytest.mark.parametrize("port", FIXED_PORTS)
def test_a_taken_port_is_named_with_its_setting_and_nothing_is_started(quickstart: Started, port: int) -> None:
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
    assert last.startswith("error: nothing was started; stop the program that uses the port")


def test_every_taken_port_is_named_at_once(quickstart: Started) -> None:
    with ExitStack() as stack:
        for port in quickstart.ports.values():
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        done = run(*quickstart.command)
    assert done.code == 1
    assert [setting for setting in SETTINGS.values() if f"({setting} in " not in done.err] == []


def test_a_port_of_the_environment_is_blamed_on_its_variable(quickstart: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*quickstart.command, env={"HUB_LISTEN_HTTP": f"127.0.0.1:{port}"})
    assert done.code == 1
    assert f"port {port} is already in use (the variable HUB_LISTEN_HTTP)" in done.err


def test_a_program_that_localhost_would_reach_first_counts_as_well(quickstart: Started) -> None:
    try:
        taken = socket.create_server(("::1", quickstart.http), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with taken:
        done = run(*quickstart.command)
    assert done.code == 1
    assert f'[::1]:{quickstart.http}: port {quickstart.http} of "localhost" is already in use' in done.err


@pytest.mark.parametrize("setting", ["http", "admin"])
def test_a_port_that_the_system_chooses_is_refused(quickstart: Started, setting: str) -> None:
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
    quickstart: Started, file: str, text: str, name: str
) -> None:
    path = quickstart.folder / file
    path.write_text(path.read_text().replace("memory:", f"sqlite:{text}") if name == "hub" else text)
    process = quickstart.start()
    assert process.wait() == 1, process.output
    assert process.lines[-1].startswith(f'error: "{name}" ended while it started (exit code ')
    assert "Ctrl-C stops all of it." not in process.output
    assert any(line.lstrip().startswith(f"{name} │ ") for line in process.lines), "its own lines say why"
    quickstart.leaves_nothing()


def test_a_hub_that_is_killed_ends_all_and_is_named(quickstart: Started) -> None:
    process = quickstart.ready()
    [hub] = parts(process, "appset-hub serve")
    os.kill(hub, signal.SIGKILL)
    assert process.wait() == 1
    assert process.lines[-1] == 'error: "hub" ended (killed by SIGKILL); everything was stopped'
    quickstart.leaves_nothing()


def test_a_backend_that_is_killed_is_named_and_the_hub_goes_on(quickstart: Started) -> None:
    process = quickstart.ready()
    [hello] = parts(process, "--name hello")
    os.kill(hello, signal.SIGKILL)
    process.says("hello │ ended (killed by SIGKILL)")
    connection = Connection(quickstart.http)
    connection.ask("fake-appset", token="strong-password").refuses(503, "backend_absent", "hello")
    connection.close()
    assert process.stop() == 0
    quickstart.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_end_of_the_program_or_of_its_terminal_ends_all(quickstart: Started, number: signal.Signals) -> None:
    process = quickstart.ready()
    process.signal(number)
    assert process.wait() == 0
    quickstart.leaves_nothing()


def test_ctrl_c_during_the_start_ends_all_without_a_traceback(quickstart: Started) -> None:
    process = quickstart.start()
    until(lambda: parts(process, "--name digests") != [], "the last part is started")
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.output
    quickstart.leaves_nothing()


def test_nothing_is_left_when_it_is_killed_itself(quickstart: Started) -> None:
    quickstart.ready().kill()
    quickstart.leaves_nothing()


def test_nothing_is_left_when_its_output_is_closed(quickstart: Started) -> None:
    command = quickstart.command
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=without_settings()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(b"hub_started" in line for line in process.stdout)
        process.stdout.close()
        process.wait(25)
        assert process.stderr.read() == b""
    quickstart.leaves_nothing()


def test_it_writes_nothing_to_its_folder(quickstart: Started) -> None:
    before = {file: file.stat().st_mtime_ns for file in quickstart.folder.rglob("*")}
    assert quickstart.ready().stop() == 0
    assert {file: file.stat().st_mtime_ns for file in quickstart.folder.rglob("*")} == before

"""How a command ends when a person, or the program that reads it, has had enough. Real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import Peer, response

COMMAND = Path(sys.executable).parent / "appset-hub"
PATIENCE_S = 25


@pytest.mark.parametrize("arguments", [["held", "--admin"], ["call", "fb-1", "--url"]], ids=["held", "call"])
def test_ctrl_c_while_a_hub_is_silent_is_130_without_a_word(arguments: list[str]) -> None:
    with Peer(hangs=True) as peer:
        with subprocess.Popen(
            [COMMAND, *arguments, peer.url], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        ) as command:
            assert peer.asked.wait(PATIENCE_S)
            command.send_signal(signal.SIGINT)
            out, err = command.communicate(timeout=PATIENCE_S)
        assert (command.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("arguments", [["config", "schema"], ["held", "--admin"]], ids=["config schema", "held"])
def test_a_reader_who_leaves_is_141_without_a_word(arguments: list[str]) -> None:
    with Peer(response(b"[]")) as peer:
        where = [peer.url] if arguments[0] == "held" else []
        with subprocess.Popen([COMMAND, *arguments, *where], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as command:
            assert command.stdout is not None
            command.stdout.close()
            assert command.stderr is not None
            err = command.stderr.read()
            assert command.wait(PATIENCE_S) == 141
        assert err == b""


def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "config", "schema"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=PATIENCE_S
        )
    assert done.returncode == 3
    assert done.stderr == b"error: No space left on device\n"


def test_a_terminal_that_cannot_show_a_character_gets_its_code(tmp_path: Path) -> None:
    sets = '{"output": {"parameters": [{"a": "\u2026"}]}}'.encode()
    with Peer(response(sets)) as peer:
        done = subprocess.run(
            [COMMAND, "call", "fb-1", "--url", peer.url],
            env={"PYTHONIOENCODING": "latin-1"},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"a\n\\u2026\n"

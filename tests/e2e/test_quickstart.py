"""The documentation's own example, word for word, with real curl."""

from __future__ import annotations

import shlex
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import COMMANDS, run
from tests.e2e.support.quickstart import (
    DIGESTS,
    DOCUMENTED,
    FIXED_PORTS,
    QUICKSTART,
    TWO_SETS,
    curl,
    fixed_ports,
    for_branch,
    is_free,
)
from tests.e2e.support.rig import Hub, port_of

if TYPE_CHECKING:
    from tests.e2e.support.rig import Rig


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


def test_the_quick_start_answers_the_documented_lines_and_ctrl_c_ends_all(rig: Rig) -> None:
    with fixed_ports():
        everything = rig.start(COMMANDS / "appset-hub", "quickstart")
        everything.says("Ctrl-C stops all of it.")
        assert "store_initialised" in everything.lines[0], "the store keeps nothing, and the hub says so first"
        assert "hub_started" in everything.lines[1]
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

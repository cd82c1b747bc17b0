"""What a command prints from elsewhere cannot act on a terminal: every such character is shown as a code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hub.cli import main
from tests.support.peers import Peer, response

if TYPE_CHECKING:
    from click.testing import Result

# A title, an erased screen, the same in C1, a delete, text from right to left, and another line.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\x7f\u202e\nerror: owned"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b2J\x7f\u202e\nerror: owned"

BACKEND = {
    "name": HOSTILE,
    "state": HOSTILE,
    "claimed": [HOSTILE],
    "granted": [],
    "ignored": [HOSTILE],
    "routes": [],
    "instances": [],
}
EXPLAINED = {
    "application_set_name": "a",
    "steps": [HOSTILE],
    "route": HOSTILE,
    "combine": HOSTILE,
    "backends": [HOSTILE],
    "absent": [HOSTILE],
    "refusal": HOSTILE,
}
HELD = {
    "id": HOSTILE,
    "subject": {
        "client": "argocd",
        "route": HOSTILE,
        "application_set_name": HOSTILE,
        "application_set_namespace": "",
        "input_digest": "00",
    },
    "answer_digest": "00",
    "went": 8,
    "before": 10,
    "sets": 2,
    "missing": [HOSTILE],
    "since_s": 0,
}
SETS = {"output": {"parameters": [{HOSTILE: HOSTILE}]}}


def reply(document: Any, **more: str) -> bytes:
    return response(json.dumps(document).encode(), **more)


def run(command: str, document: Any, *arguments: str, **more: str) -> Result:
    words = command.split()
    with Peer(reply(document, **more)) as peer:
        return CliRunner().invoke(main, [*words, "--url" if words[0] == "call" else "--admin", peer.url, *arguments])


def assert_harmless(text: str) -> None:
    assert [line for line in text.split("\n") if not line.isprintable()] == []


@pytest.mark.parametrize(
    ("command", "document"),
    [
        ("call a", SETS),
        ("explain a", EXPLAINED),
        ("backends list", [BACKEND]),
        ("backends forget a", {"backend": HOSTILE, "forgotten": [HOSTILE]}),
        ("held", [HELD]),
        ("accept a", HELD),
    ],
)
def test_what_a_hub_answers_is_printed_without_control_characters(command: str, document: Any) -> None:
    done = run(command, document)
    assert done.exit_code == (1 if command == "explain a" else 0), done.output
    assert_harmless(done.output)
    assert SHOWN in done.stdout
    assert not [line for line in done.output.split("\n") if line.startswith("error: owned")]


@pytest.mark.parametrize("command", ["call a", "held"])
@pytest.mark.parametrize(
    ("document", "more"),
    [
        pytest.param({"message": HOSTILE, "error": "refused"}, {"status": "403 No"}, id="a no"),
        pytest.param({"message": HOSTILE, "error": "internal"}, {"status": "500 No"}, id="a failure"),
        pytest.param({"message": HOSTILE, "error": "invalid_request"}, {"status": "400 No"}, id="a wrong request"),
        pytest.param({}, {"status": "404 No", "kind": "a\x1b[2Jb\x9b"}, id="a kind of content"),
    ],
)
def test_an_error_from_elsewhere_is_one_line_without_control_characters(
    command: str, document: Any, more: dict[str, str]
) -> None:
    done = run(command, document, **more)
    assert done.exit_code in {1, 2, 3}
    assert_harmless(done.output)
    [line] = done.stderr.splitlines()
    assert (SHOWN if document else r"a\x1b[2Jb") in line


def test_json_has_the_same_value_without_control_characters() -> None:
    done = run("call a", SETS, "--json")
    assert_harmless(done.stdout)
    assert json.loads(done.stdout) == [{HOSTILE: HOSTILE}]

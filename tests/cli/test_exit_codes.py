"""Every command against whatever may answer, or not: its exit code, one line, and no traceback."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from click.testing import CliRunner

from hub.cli import main
from hub.cli.commands import all_commands
from hub.cli.exits import EXITS
from tests.support.peers import Peer, response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

COMMANDS = {
    "call": ["call", "fb-1"],
    "explain": ["explain", "fb-1"],
    "routes": ["routes"],
    "backends": ["backends"],
    "backends list": ["backends", "list"],
    "backends forget": ["backends", "forget", "images"],
    "held": ["held"],
    "accept": ["accept", "5ee72c51"],
    "reject": ["reject", "5ee72c51"],
    "audit": ["audit"],
    "history": ["history", "fb-1"],
}
"""Those that talk to a hub."""

CHANGING = ("accept", "reject", "backends forget")


def server_tls() -> ssl.SSLContext:
    """TLS with a certificate that no client trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


HTML = response(b"<html>no</html>", kind="text/html")
REFUSAL = b'{"message": "the hub failed; see its log", "error": "internal_error"}'

PEERS: dict[str, tuple[Callable[[], Peer], str]] = {
    "HTML": (lambda: Peer(HTML), "text/html"),
    "an HTML error": (lambda: Peer(response(b"<html>", status="502 Bad Gateway", kind="text/html")), "status 502"),
    "other JSON": (lambda: Peer(response(b'{"status": "success", "data": []}')), "of a hub"),
    "a list of other JSON": (lambda: Peer(response(b'[{"name": 1}]')), "of a hub"),
    "JSON that is no text": (lambda: Peer(response(b'["\xff"]')), "of a hub"),
    "JSON without an end": (lambda: Peer(response(b"[" * 100_000)), "of a hub"),
    "no content": (lambda: Peer(response(b"", status="204 No Content")), "status 204"),
    "a redirect": (
        lambda: Peer(response(b"", status="302 Found", more="Location: http://127.0.0.1:9/\r\n")),
        "status 302",
    ),
    "an error of another service": (
        lambda: Peer(response(b'{"code": 5, "message": "no", "error": "no"}', status="404 Not Found")),
        "status 404",
    ),
    "an empty reply": (lambda: Peer(b""), "closed the connection"),
    "not HTTP": (lambda: Peer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "did not answer in HTTP"),
    "half a reply": (lambda: Peer(HTML[:-5]), "did not answer in HTTP"),
    "silence": (lambda: Peer(hangs=True), "no answer within 0.2 s"),
    "silence in the middle": (lambda: Peer(HTML[:-5], hangs=True), "no answer within 0.2 s"),
    "TLS with a certificate of nobody": (lambda: Peer(HTML, tls=server_tls()), "ca-file"),
}


def run(command: list[str], *arguments: str, url: str | None = None) -> Result:
    where = [] if url is None else ["--url" if command[0] == "call" else "--admin", url, "--timeout", "0.2"]
    return CliRunner().invoke(main, [*command, *where, *arguments])


def assert_one_line(result: Result, code: int, words: str) -> None:
    assert result.exit_code == code, result.output
    assert words in result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert result.stdout == ""


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_answer_of_a_hub_is_neither_yes_nor_no(command: str, peer: str) -> None:
    make, words = PEERS[peer]
    with make() as it:
        result = run(COMMANDS[command], url=it.url)
    if (command, peer) == ("call", "other JSON"):
        words = "a hub"
    assert_one_line(result, 3, words)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://127.0.0.1:9", "connection refused", id="nothing listens"),
        pytest.param("http://[::1]:9", "connection refused", id="nothing listens on IPv6"),
        pytest.param("http://no-such-host.invalid:4357", "cannot be resolved", id="no such host"),
    ],
)
def test_a_hub_that_does_not_run_is_neither_yes_nor_no(command: str, url: str, words: str) -> None:
    assert_one_line(run(COMMANDS[command], url=url), 3, words)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_tls_port_without_https_is_named_as_the_likely_cause(command: str) -> None:
    with Peer(tls=server_tls()) as peer:
        assert_one_line(run(COMMANDS[command], url=f"http://127.0.0.1:{peer.port}"), 3, "https://")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plain_port_with_https_is_named_as_the_likely_cause(command: str) -> None:
    with Peer(b"HTTP/1.1 400 Bad Request\r\n\r\n", hasty=True) as peer:
        assert_one_line(run(COMMANDS[command], url=f"https://127.0.0.1:{peer.port}"), 3, "http://")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "call"])
def test_a_hub_that_failed_on_the_admin_port_is_neither_yes_nor_no(command: str) -> None:
    with Peer(response(REFUSAL, status="500 Internal Server Error")) as peer:
        assert_one_line(run(COMMANDS[command], url=peer.url), 3, "500: the hub failed; see its log")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "call"])
def test_another_port_of_a_hub_is_neither_yes_nor_no(command: str) -> None:
    no_path = b'{"message": "there is no such path", "error": "unknown_path"}'
    with Peer(response(no_path, status="404 Not Found")) as peer:
        assert_one_line(run(COMMANDS[command], url=peer.url), 3, "404: there is no such path")


@pytest.mark.parametrize("status", ["400 A", "403 B", "404 C", "409 D", "429 E", "500 F", "502 G", "503 H", "504 I"])
def test_whatever_else_than_a_200_a_hub_says_to_a_call_is_a_no(status: str) -> None:
    with Peer(response(REFUSAL, status=status)) as peer:
        assert_one_line(run(["call", "fb-1"], url=peer.url), 1, f"{status[:3]}: the hub failed")


@pytest.mark.parametrize("command", CHANGING)
@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
def test_a_change_that_the_hub_refuses_is_a_no(command: str, status: str) -> None:
    refusal = b'{"message": "not this", "error": "not_held"}'
    with Peer(response(refusal, status=status)) as peer:
        assert_one_line(run(COMMANDS[command], url=peer.url), 1, f"{status[:3]}: not this")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:4357",
        "localhost:4357",
        "ftp://127.0.0.1",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1:http",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\u00fc",
    ],
)
def test_a_url_that_cannot_be_used_is_wrong_usage(command: str, url: str) -> None:
    assert_one_line(run(COMMANDS[command], url=url), 2, "URL")


def token_files(folder: Path) -> dict[str, str]:
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "empty").write_text("\n")
    (folder / "two").write_text("one\ntwo\n")
    (folder / "a folder").mkdir()
    return {
        "missing": "No such file",
        "a folder": "Is a directory",
        "binary": "printable ASCII",
        "empty": "printable ASCII",
        "two": "printable ASCII",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_token_file_that_cannot_be_used_is_wrong_usage(command: str, folder: Path) -> None:
    flag = "--token-file" if command == "call" else "--admin-token-file"
    for name, words in token_files(folder).items():
        assert_one_line(run(COMMANDS[command], flag, name, url="http://127.0.0.1:9"), 2, words)


@pytest.mark.parametrize(
    ("file", "words"), [("missing", "No such file"), ("text", "no PEM certificate")], ids=["missing", "not a CA"]
)
def test_a_ca_file_that_cannot_be_used_is_wrong_usage(folder: Path, file: str, words: str) -> None:
    (folder / "text").write_text("no certificate")
    assert_one_line(run(["call", "fb-1"], "--ca-file", file, url="https://127.0.0.1:9"), 2, words)


@pytest.mark.parametrize("command", ["call", "explain"])
@pytest.mark.parametrize("pair", ["a", "=b", "a:=[", "a:=" + "[" * 100_000], ids=["no value", "no key", "half", "deep"])
def test_an_input_that_cannot_be_read_is_wrong_usage(command: str, pair: str) -> None:
    assert_one_line(run(COMMANDS[command], "-p", pair, url="http://127.0.0.1:9"), 2, "")


def test_an_argument_that_is_not_utf_8_is_wrong_usage() -> None:
    result = run(["call", "\udcff"], url="http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "not valid UTF-8" in result.stderr


@pytest.mark.parametrize("command", CHANGING)
def test_a_name_that_is_too_long_for_the_audit_log_is_wrong_usage(command: str) -> None:
    result = run(COMMANDS[command], "--by", "x" * 129, url="http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "at most 128 characters" in result.stderr


def test_a_name_that_the_hub_cannot_read_is_wrong_usage() -> None:
    invalid = b'{"message": "the query needs a name", "error": "invalid_request"}'
    with Peer(response(invalid, status="400 Bad Request")) as peer:
        assert_one_line(run(["history", ""], url=peer.url), 2, "400: the query needs a name")


ALL = [path for path, command in all_commands(main) if path in EXITS or not hasattr(command, "commands")]


@pytest.mark.parametrize("path", ALL)
def test_the_help_of_every_command_lists_its_exit_codes(path: str) -> None:
    result = CliRunner().invoke(main, [*path.split(), "--help"])
    assert result.exit_code == 0
    _, _, codes = result.output.partition("Exit codes:\n")
    shown = [line.split()[0] for line in codes.splitlines()]
    assert shown[0] == "0"
    assert shown == sorted(set(shown) & set("0123"))


def test_no_exit_codes_are_of_a_command_that_is_gone() -> None:
    assert EXITS.keys() <= {path for path, _ in all_commands(main)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_wrong_is_wrong_usage(command: str) -> None:
    assert run([*COMMANDS[command], "--nothing"]).exit_code == 2

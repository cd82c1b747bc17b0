"""Plugins that go wrong, as public ones do: `http-plugin` gives the answer that was meant, or an error."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import ssl
import time
import tracemalloc
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from appset_hub import BackendFault, DeadlinePassed, InvalidInput, NotReady, QuestionFailed

from backends.http_plugin.envelope import decompress
from tests.backends.plugin_rig import RawPlugin, attached, configure, ok, opened, sets_of

GOOD = b'{"output":{"parameters":[{"a":"x"},{"a":"y"}]}}'
TWO_SETS = [{"a": "x"}, {"a": "y"}]
EMPTY = b'{"output":{"parameters":[]}}'

RECORDED = Path(__file__).parents[1] / "argocd" / "testdata" / "verdicts.json"

# What Argo CD's client takes, and `http-plugin` does not: each could be a part of what was meant, or something else.
TAKEN_BY_ARGO_CD_ALONE = {
    "206 partial good",
    "BOM good",
    "chunked good no terminator",
    "depth 9000",
    "dup key output null",
    "dup param key",
    "empty object element",
    "extra keys beside output",
    "good + trailing garbage",
    "gzip missing trailer",
    "invalid utf8",
    "lone surrogate",
    "null element",
    "shorter dup array merges?",
    "two docs",
}


def recorded() -> list[Any]:
    """Return the responses whose verdicts by Argo CD's client are known; None stands for an error."""
    cases = json.loads(RECORDED.read_text())["cases"]
    return [pytest.param(base64.b64decode(case["response_base64"]), _expected(case), id=case["name"]) for case in cases]


def _expected(case: dict[str, str | int]) -> int | None:
    if case["name"] in TAKEN_BY_ARGO_CD_ALONE:
        return None
    if case["name"] == "output.parameters []":
        return 0
    return int(case.get("count", 0)) or None


@pytest.mark.parametrize(("response", "count"), recorded())
async def test_what_argo_cd_takes_for_nothing_is_an_error_and_what_is_complete_is_passed_on(
    response: bytes, count: int | None, tmp_path: Path
) -> None:
    raw = RawPlugin(response)
    async with raw.serving(), opened(configure(tmp_path, f"http://127.0.0.1:{raw.port}")) as plugin:
        if count is None:
            with pytest.raises(QuestionFailed):
                await sets_of(plugin)
        else:
            assert len(await sets_of(plugin)) == count


FAULTS = [
    pytest.param(ok(b""), BackendFault, "the plugin's answer is empty", id="empty 200"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", BackendFault, "the plugin's answer is empty", id="empty until closed"),
    pytest.param(ok(b'{"parameters":[{"a":"x"}]}'), BackendFault, 'answer has no "output"', id="no envelope"),
    pytest.param(ok(b'{"output":[{"a":"x"}]}'), BackendFault, '"output" of the plugin\'s answer is a list', id="list"),
    pytest.param(ok(b'{"error":"db down"}'), BackendFault, 'holds an "error", although', id="error with 200"),
    pytest.param(
        ok(b'{"error":"page 2 failed","output":{"parameters":[{"a":"x"}]}}'),
        BackendFault,
        'holds an "error", although',
        id="error beside a partial list",
    ),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":"x"},null]}}'),
        BackendFault,
        r"output\.parameters\[1\] is null",
        id="partial list",
    ),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":"x"},{}]}}'), BackendFault, r"parameters\[1\] is empty", id="an empty set"
    ),
    pytest.param(
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 47\r\n\r\n" + GOOD,
        BackendFault,
        "status 206",
        id="partial content",
    ),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        BackendFault,
        "status 302, a redirect; set base_url",
        id="redirect",
    ),
    pytest.param(
        b"HTTP/1.0 403 Forbidden\r\n\r\nHTTP/1.0 200 OK\r\n\r\n" + GOOD,
        BackendFault,
        "status 403; is the token in token_file",
        id="body after 403",
    ),
    pytest.param(
        ok(GOOD)[:-1].replace(b"Length: 47", b"Length: 48"), BackendFault, "was cut short", id="truncated by length"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2f\r\n" + GOOD + b"\r\n",
        BackendFault,
        "was cut short",
        id="chunks without an end",
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\n\r\n" + GOOD[:-2],
        BackendFault,
        "not one complete JSON document",
        id="truncated by closing",
    ),
    pytest.param(ok(b"<html>log in</html>"), BackendFault, "not one complete JSON document", id="HTML"),
    pytest.param(ok(GOOD + b"oops"), BackendFault, "not one complete JSON document", id="something after the end"),
    pytest.param(ok(gzip.compress(b""), "Content-Encoding: gzip"), BackendFault, "is empty", id="gzip of nothing"),
    pytest.param(ok(b"", "Content-Encoding: gzip"), BackendFault, "gzip that was cut short", id="nothing as gzip"),
    pytest.param(
        ok(gzip.compress(GOOD)[:-4], "Content-Encoding: gzip"), BackendFault, "gzip that was cut short", id="half gzip"
    ),
    pytest.param(
        ok(gzip.compress(GOOD) * 2, "Content-Encoding: gzip"), BackendFault, "something after its end", id="gzip twice"
    ),
    pytest.param(ok(GOOD, "Content-Encoding: gzip"), BackendFault, "says that it is gzip", id="gzip in name only"),
    pytest.param(ok(GOOD, "Content-Encoding: br"), BackendFault, "that is not gzip", id="another encoding"),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":"x"}]},"output":{"parameters":[]}}'),
        BackendFault,
        'has the key "output" twice',
        id="output twice",
    ),
    pytest.param(
        ok('{"output":{"parameters":[{"a":"x"}],"parameter\u017f":[]}}'.encode()),
        BackendFault,
        r'has both "parameters" and "parameter\\u017f"; Argo CD takes either for "parameters"',
        id="another spelling that Go folds",
    ),
    pytest.param(
        ok(b'{"Output":{"Parameters":[{"a":"x"}]},"output":{"parameters":[]}}'),
        BackendFault,
        'has both "Output" and "output"; Argo CD takes either for "output"',
        id="output in two spellings",
    ),
    pytest.param(
        ok(b'{"Error":"page 2 failed","Output":{"Parameters":[{"a":"x"}]}}'),
        BackendFault,
        'holds an "error", although',
        id="an error in another spelling beside a partial list",
    ),
    pytest.param(ok(b'{"output":{"parameters":[{"a":1e999}]}}'), BackendFault, "too large", id="an infinite number"),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":' + b"9" * 5000 + b"}]}}"), BackendFault, "too many digits", id="digits"
    ),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}}"),
        BackendFault,
        "nested too deeply",
        id="depth",
    ),
    *(
        pytest.param(
            ok(b'{"more":' + b"[" * levels + b"]" * levels + b',"output":{"parameters":[{"a":"x"}]}}'),
            BackendFault,
            "^the plugin's answer is nested too deeply$",
            id=f"{levels} levels beside the output",
        )
        for levels in (203, 2000, 9000)
    ),
    pytest.param(
        ok(b'{"output":{"parameters":[{"a":' + b"[" * 2000 + b"]" * 2000 + b"}]}}x"),
        BackendFault,
        "^the plugin's answer is nested too deeply$",
        id="depth, and something after the end",
    ),
    pytest.param(
        b'HTTP/1.1 500 Oops\r\nContent-Length: 2021\r\n\r\n{"message":"no","a":' + b"[" * 1000 + b"]" * 1000 + b"}",
        BackendFault,
        "^the plugin answered with status 500$",
        id="an error that is too deep",
    ),
    pytest.param(b"", NotReady, "closed the connection before it answered", id="no answer"),
    pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", BackendFault, "is not valid HTTP", id="no HTTP"),
    pytest.param(
        b'HTTP/1.1 503 Busy\r\nContent-Length: 26\r\n\r\n{"message":"warming\\n up"}',
        NotReady,
        "^the plugin answered with status 503$",
        id="not ready",
    ),
    pytest.param(
        b'HTTP/1.1 400 Bad\r\nContent-Length: 25\r\n\r\n{"error":"branch needed"}',
        InvalidInput,
        "^the plugin answered with status 400: branch needed$",
        id="wrong input",
    ),
    pytest.param(
        b'HTTP/1.1 500 Oops\r\nContent-Length: 36\r\n\r\n{"error":"strong-password is stale"}',
        BackendFault,
        "^the plugin answered with status 500$",
        id="an error that tells the token",
    ),
]


@pytest.mark.parametrize(("response", "kind", "message"), FAULTS)
async def test_a_plugin_that_goes_wrong_is_an_error_that_says_how(
    response: bytes, kind: type[QuestionFailed], message: str, tmp_path: Path
) -> None:
    raw = RawPlugin(response)
    async with raw.serving(), opened(configure(tmp_path, f"http://127.0.0.1:{raw.port}")) as plugin:
        with pytest.raises(kind, match=message) as first:
            await sets_of(plugin)
        with pytest.raises(kind) as again:
            await sets_of(plugin)
    assert str(first.value) == str(again.value)


def refuses(status: int, body: bytes, *headers: str) -> bytes:
    """Return a response that is no answer."""
    lines = [f"HTTP/1.1 {status} No", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
async def test_an_error_whose_text_changes_is_the_same_text_and_the_log_has_the_plugins_words(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = RawPlugin()
    texts = []
    async with plugin.serving(), opened(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as backend:
        for request in ("7f3a9c, 2026-11-25T10:00:01Z", "b21d04, 2026-11-25T10:03:09Z"):
            error = f"upstream timeout (request {request}), token strong-password"
            plugin.response = refuses(status, json.dumps({"error": error}).encode())
            with pytest.raises(QuestionFailed) as refused:
                await sets_of(backend)
            texts.append(str(refused.value))
    assert texts[0] == texts[1]
    assert f"status {status}" in texts[0]
    assert "7f3a9c" not in texts[0]
    assert "said: upstream timeout (request 7f3a9c, 2026-11-25T10:00:01Z), token ***" in caplog.text


@pytest.mark.parametrize("status", [400, 422])
async def test_a_rejection_of_the_input_is_passed_on_in_one_short_line(status: int, tmp_path: Path) -> None:
    plugin = RawPlugin(refuses(status, json.dumps({"message": "no branch\n" + "x" * 1000}).encode()))
    async with plugin.serving(), opened(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as backend:
        with pytest.raises(InvalidInput) as refused:
            await sets_of(backend)
    text = str(refused.value)
    assert text.startswith(f"the plugin answered with status {status}: no branch xxx")
    assert len(text) < 250


IN_A_DAY = formatdate(time.time() + 86_400, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        pytest.param("Retry-After: 7", 7, 7, id="seconds"),
        pytest.param("Retry-After: 0", 0, 0, id="at once"),
        pytest.param(f"Retry-After: {IN_A_DAY}", 80_000, 86_400, id="a date"),
        pytest.param("Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", 0, 0, id="a date that has passed"),
        pytest.param("Retry-After: " + "9" * 5000, 999_999_999, 999_999_999, id="digits"),
        pytest.param("Retry-After: soon", None, None, id="a word"),
        pytest.param("Retry-After: -7", None, None, id="a negative number"),
        pytest.param("X-Other: 7", None, None, id="none"),
    ],
)
async def test_when_to_retry_is_passed_on(
    header: str, least_s: float | None, most_s: float | None, status: int, tmp_path: Path
) -> None:
    plugin = RawPlugin(refuses(status, b"", header))
    async with plugin.serving(), opened(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as backend:
        with pytest.raises(NotReady, match=f"^the plugin answered with status {status}$") as refused:
            await sets_of(backend)
    after_s = refused.value.retry_after_s
    if least_s is None or most_s is None:
        assert after_s is None
    else:
        assert after_s is not None
        assert least_s <= after_s <= most_s


async def test_a_redirect_is_not_followed_so_nobody_else_sees_the_token(tmp_path: Path) -> None:
    elsewhere = RawPlugin(ok(GOOD))
    async with elsewhere.serving():
        location = f"Location: http://127.0.0.1:{elsewhere.port}/api/v1/getparams.execute"
        plugin = RawPlugin(f"HTTP/1.1 307 Temporary\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode())
        async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
            with pytest.raises(BackendFault, match="307, a redirect"):
                await hub.ask("set")
    assert elsewhere.requests == []


async def test_a_plugin_that_hangs_is_an_error_after_its_timeout(tmp_path: Path) -> None:
    plugin = RawPlugin(None)
    path = configure(tmp_path, "http://127.0.0.1:{port}", "timeout_s: 0.05\n")
    async with plugin.serving():
        path.write_text(path.read_text().format(port=plugin.port))
        async with attached(path) as hub:
            with pytest.raises(DeadlinePassed, match=r"did not answer within 0\.05 s, its timeout_s"):
                await hub.ask("set")


async def test_a_plugin_whose_body_hangs_is_an_error_too(tmp_path: Path) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(GOOD)[:-10])
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with attached(configure(tmp_path, f"http://127.0.0.1:{port}", "timeout_s: 0.05\n")) as hub:
        with pytest.raises(DeadlinePassed):
            await hub.ask("set")
    server.close()


async def test_a_plugin_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    plugin = RawPlugin()
    async with plugin.serving():
        path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}")
    async with attached(path) as hub:
        with pytest.raises(NotReady, match="cannot be reached"):
            await hub.ask("set")


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(ok(b'{"output":{"parameters":[{"a":"' + b"x" * 2000 + b'"}]}}'), id="with a length"),
        pytest.param(
            b'HTTP/1.1 200 OK\r\n\r\n{"output":{"parameters":[{"a":"' + b"x" * 2000 + b'"}]}}', id="until closed"
        ),
        pytest.param(
            ok(gzip.compress(b'{"output":{"parameters":[{"a":"' + b"x" * 10_000_000), "Content-Encoding: gzip"),
            id="a bomb",
        ),
    ],
)
async def test_an_answer_over_the_limit_is_an_error(response: bytes, tmp_path: Path) -> None:
    plugin = RawPlugin(response)
    async with plugin.serving():
        path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}", "max_answer_bytes: 1024\n")
        # The bomb is larger than that as it travels, too.
        if b"gzip" in response:
            path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}", "max_answer_bytes: 100000\n")
        async with attached(path) as hub:
            with pytest.raises(BackendFault, match="raise max_answer_bytes"):
                await hub.ask("set")


def test_a_bomb_is_not_blown_up() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BackendFault, match="raise max_answer_bytes"):
            decompress(bomb, "gzip", 100_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5_000_000


async def test_a_plugin_that_ends_kept_connections_answers_every_question(tmp_path: Path) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(ok(GOOD).replace(b"Connection: close", b"Connection: keep-alive"))
        # Whatever comes next on this connection goes unanswered.
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with opened(configure(tmp_path, f"http://127.0.0.1:{port}")) as plugin:
        for _ in range(3):
            assert await sets_of(plugin) == TWO_SETS
    server.close()


async def test_an_honest_empty_list_is_an_answer(tmp_path: Path) -> None:
    plugin = RawPlugin(ok(EMPTY))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        assert await hub.ask("set") == []


async def test_tls_believes_the_given_authority_and_no_other(tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    for authority, name in ((ours, "ours.pem"), (other, "other.pem")):
        authority.cert_pem.write_to_path(tmp_path / name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("localhost").configure_cert(tls)
    plugin = RawPlugin(ok(GOOD))
    async with plugin.serving(tls):
        url = f"https://localhost:{plugin.port}"
        async with attached(configure(tmp_path, url, "ca_file: ours.pem\n")) as hub:
            assert await hub.ask("set") == TWO_SETS
        async with attached(configure(tmp_path, url, "ca_file: other.pem\n")) as hub:
            with pytest.raises(BackendFault, match="certificate is not one to believe"):
                await hub.ask("set")

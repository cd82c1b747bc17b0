"""Bad input of every kind over a raw socket: the right refusal with a message, and a hub that goes on unharmed."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.calls import exchange, request
from tests.e2e.support.processes import run, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.rig import Hub, Rig

SETS = [{"key": "value"}]
NAMED = b'{"applicationSetName": "any"'
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def serving(shared_rig: Rig) -> Hub:
    shared_rig.configure(
        backends=[shared_rig.backend("hello", application_sets=["*"])], limits={"body_timeout": "500ms"}
    )
    hub = shared_rig.hub()
    shared_rig.static(
        "hello",
        {"application_sets": ["*"], "answers": [{"parameters": SETS}]},
        *("--hub", hub.grpc_address, "--token-file", shared_rig.folder / "tokens" / "hello"),
    )
    hub.joined("hello")
    return hub


@pytest.fixture
def hub(serving: Hub) -> Iterator[Hub]:
    """The hub; after each test it still answers, has nothing in flight, and found no fault in itself."""
    yield serving
    assert serving.ask("any").sets == SETS
    until(lambda: serving.metric("appset_hub_requests_in_flight") == 0, "nothing is in flight")
    assert serving.metric("appset_hub_internal_faults_total") == 0
    assert not serving.metric("appset_hub_refusals_total", reason="internal_error")


def named(rest: bytes) -> bytes:
    return NAMED + b", " + rest + b"}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="no JSON"),
        pytest.param(NAMED, id="half an object"),
        pytest.param(NAMED + b"} {}", id="two documents"),
        pytest.param(b"applicationSetName=any&input=", id="a form"),
        pytest.param(b'{"applicationSetName": "\xff"}', id="not UTF-8"),
        pytest.param(named(b'"input": {"parameters": {"a": "\\ud800"}}'), id="half a surrogate pair"),
        pytest.param(named(b'"input": {"parameters": {"a": NaN}}'), id="NaN"),
        pytest.param(named(b'"input": {"parameters": {"a": 1e999}}'), id="infinite"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"any"', id="a text"),
        pytest.param(b"{}", id="no name"),
        pytest.param(b'{"applicationSetName": ""}', id="an empty name"),
        pytest.param(b'{"applicationSetName": 1}', id="a number as name"),
        pytest.param(b'{"applicationSetName": null}', id="null as name"),
        pytest.param(b'{"applicationSetName": "a\\u0000b"}', id="a control character in the name"),
        pytest.param(b'{"applicationSetName": "' + b"a" * 254 + b'"}', id="a name too long"),
        pytest.param(named(b'"applicationSetNamespace": 1'), id="a number as namespace"),
        pytest.param(named(b'"input": []'), id="a list as input"),
        pytest.param(named(b'"input": "text"'), id="a text as input"),
        pytest.param(named(b'"input": {"parameters": []}'), id="a list as parameters"),
        pytest.param(named(b'"input": {"parameters": "text"}'), id="a text as parameters"),
        pytest.param(b"[" * 100_000, id="deep lists"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(
            named(b'"input": {"parameters": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"), id="deep parameters"
        ),
        pytest.param(named(b'"other": ' + b"[" * 100_000 + b"]" * 100_000), id="a deep unknown field"),
    ],
)
def test_a_body_that_is_no_question_is_a_400_with_a_message(hub: Hub, body: bytes) -> None:
    [reply] = exchange(hub.http, request(body))
    reply.refuses(400, "invalid_request")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(NAMED + b"}", {}, id="no input"),
        pytest.param(named(b'"input": {}'), {}, id="no parameters"),
        pytest.param(named(b'"input": {"parameters": {}}'), {}, id="empty parameters"),
        pytest.param(named(b'"other": {"a": [1]}, "applicationSetNamespace": "argocd"'), {}, id="unknown fields"),
        pytest.param(named(b'"input": {"parameters": {"a": [1, {"b": null}]}, "other": 1}'), {}, id="any JSON"),
        pytest.param(NAMED + b"}", {"Content-Type": "application/x-www-form-urlencoded"}, id="the type of a form"),
        pytest.param(NAMED + b"}", {"Content-Type": "multipart/form-data; boundary=x"}, id="the type of a file"),
        pytest.param(NAMED + b"}", {"Content-Type": ""}, id="no type"),
        pytest.param(
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(NAMED) + 1, NAMED + b"}"),
            {"Content-Length": "", "Transfer-Encoding": "chunked"},
            id="in chunks",
        ),
    ],
)
def test_what_only_looks_strange_is_answered(hub: Hub, body: bytes, headers: dict[str, str]) -> None:
    [reply] = exchange(hub.http, request(body, headers=headers))
    assert reply.sets == SETS


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param({}, id="announced"),
        pytest.param({"Content-Length": "", "Transfer-Encoding": "chunked"}, id="in chunks"),
    ],
)
def test_ten_mebibytes_are_a_413(hub: Hub, framing: dict[str, str]) -> None:
    body = b" " * 10 * MIB
    if framing:
        body = b"".join(b"%x\r\n%s\r\n" % (MIB, b" " * MIB) for _ in range(10)) + b"0\r\n\r\n"
    [reply] = exchange(hub.http, request(body, headers=framing))
    reply.refuses(413, "body_too_large", "1048576 bytes")


def test_ten_mebibytes_of_curl_are_a_413(hub: Hub, shared_rig: Rig) -> None:
    large = shared_rig.folder / "large.json"
    large.write_bytes(named(b'"input": {"parameters": {"a": "' + b"a" * 10 * MIB + b'"}}'))
    url = f"http://localhost:{hub.http}/api/v1/getparams.execute"
    done = run("curl", "-sS", url, "-H", "Authorization: Bearer argocd-token", "-d", f"@{large}", "-w", " %{http_code}")
    body, _, status = done.out.rpartition(" ")
    assert status == "413", done
    assert json.loads(body)["error"] == "body_too_large"


QUESTION = NAMED + b"}"


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        pytest.param(request(QUESTION, headers={"Authorization": ""}), 403, "token_missing", id="no token"),
        pytest.param(
            request(QUESTION, headers={"Authorization": "Basic YTpi"}), 403, "token_missing", id="another scheme"
        ),
        pytest.param(request(QUESTION, token="nobody"), 403, "token_wrong", id="a wrong token"),
        pytest.param(request(QUESTION, token="tökèn"), 403, "token_wrong", id="a token that is not ASCII"),
        pytest.param(
            request(QUESTION, token="$plugin.hub.token"), 403, "token_unresolved", id="a token that was not resolved"
        ),
        pytest.param(request(QUESTION, path="/"), 404, "unknown_path", id="the root"),
        pytest.param(
            request(QUESTION, path="/api/v1/getparams.execute/"), 404, "unknown_path", id="a slash at the end"
        ),
        pytest.param(
            request(QUESTION, path="/a/b/api/v1/getparams.execute"), 404, "unknown_path", id="too long a path"
        ),
        pytest.param(
            request(QUESTION, path="/nobody/api/v1/getparams.execute"), 404, "unknown_route", id="no such route"
        ),
        pytest.param(request(method="GET"), 405, "method_not_allowed", id="GET"),
        pytest.param(request(QUESTION, method="PUT"), 405, "method_not_allowed", id="PUT"),
        pytest.param(request(QUESTION, headers={"Content-Encoding": "gzip"}), 415, "encoding_refused", id="compressed"),
    ],
)
def test_a_request_that_is_not_for_the_hub_is_refused_with_a_message(
    hub: Hub, data: bytes, status: int, reason: str
) -> None:
    [reply] = exchange(hub.http, data)
    reply.refuses(status, reason)
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello\r\n\r\n", id="a word"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(request(QUESTION, headers={"Content-Length": "-1"}), id="a negative length"),
        pytest.param(request(QUESTION, headers={"Content-Length": "many"}), id="a length in words"),
        pytest.param(request(QUESTION, headers={"Transfer-Encoding": "chunked"}), id="two framings"),
        pytest.param(request(QUESTION, headers={"Content-Length": "5\r\nContent-Length: 6"}), id="two lengths"),
        pytest.param(request(QUESTION, headers={"X-Long": "a" * 100_000}), id="a long header"),
        pytest.param(request(QUESTION, path="/" + "a" * 100_000), id="a long path"),
        pytest.param(request(QUESTION, headers={"X-Bad\x00": "a"}), id="a bad header"),
        pytest.param(
            request(b"zz\r\nhello\r\n", headers={"Content-Length": "", "Transfer-Encoding": "chunked"}), id="bad chunks"
        ),
    ],
)
def test_bytes_that_are_no_http_are_a_400_with_a_message(hub: Hub, data: bytes) -> None:
    [reply] = exchange(hub.http, data, then_closed=True)
    reply.refuses(400, "invalid_request")


def test_garbage_in_one_piece_with_a_good_request_does_not_touch_its_answer(hub: Hub) -> None:
    good, bad = exchange(hub.http, request(QUESTION) + b"garbage garbage\r\n\r\n", replies=2, then_closed=True)
    assert good.sets == SETS
    bad.refuses(400, "invalid_request")


def test_garbage_behind_an_answered_request_is_a_400(hub: Hub) -> None:
    good, bad = exchange(hub.http, request(QUESTION), b"garbage garbage\r\n\r\n", then_closed=True)
    assert good.sets == SETS
    bad.refuses(400, "invalid_request")


def test_pipelined_requests_are_answered_in_order(hub: Hub) -> None:
    first, second, third = exchange(hub.http, request(QUESTION) + request(b"hello") + request(QUESTION), replies=3)
    assert (first.sets, third.sets) == (SETS, SETS)
    second.refuses(400, "invalid_request")


def test_a_body_that_never_comes_is_a_400(hub: Hub) -> None:
    [reply] = exchange(hub.http, request(headers={"Content-Length": "100"}))
    reply.refuses(400, "invalid_request", "in time")


def test_a_caller_who_hangs_up_half_way_harms_nobody(hub: Hub) -> None:
    for part in (1, 10, -1):
        with socket.create_connection(("127.0.0.1", hub.http)) as raw:
            raw.sendall(request(QUESTION)[:part])


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        pytest.param("GET", "/nothing", 404, "unknown_path", id="no such path"),
        pytest.param("DELETE", "/api/backends", 405, "method_not_allowed", id="another method"),
        pytest.param("GET", "/api/explain", 400, "invalid_request", id="no name"),
        pytest.param("GET", "/api/explain?name=a&parameters=[", 400, "invalid_request", id="no JSON"),
        pytest.param("POST", "/api/backends/nobody/forget", 404, "unknown_backend", id="no such backend"),
    ],
)
def test_the_admin_port_refuses_with_a_message_too(hub: Hub, method: str, path: str, status: int, reason: str) -> None:
    [reply] = exchange(hub.admin, request(method=method, path=path))
    reply.refuses(status, reason)

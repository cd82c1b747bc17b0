"""The HTTP contract, byte by byte: section 2 of the design."""

from __future__ import annotations

import asyncio
import json

import pytest

from hub.core import errors
from hub.core.combine import Answer
from hub.core.errors import HubError, leaves
from hub.core.events import InternalFault, RequestEnded
from hub.core.tokens import TokenRing
from hub.http.reply import MAX_REFUSAL_BYTES, refusal_body
from tests.support.http import ARGOCD, BODY, CI, KEY, PATH, TOKEN, Reply, Served, post, served


def check_refusal(reply: Reply, status: int, reason: str) -> None:
    """What holds for every response that is not a 200."""
    assert (reply.status, reply.reason) == (status, reason)
    assert list(reply.json) == ["message", "error"]
    assert isinstance(reply.json["message"], str)
    assert reply.json["message"]
    assert len(reply.body) <= MAX_REFUSAL_BYTES
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("test-")
    assert int(reply.headers["content-length"]) == len(reply.body)


async def test_an_answer_is_the_document_with_its_length_and_nothing_else() -> None:
    async with served() as server:
        reply = await server.ask(post())
        assert reply.status == 200
        assert reply.body == server.execute.outcome.body  # type: ignore[union-attr]  # it is an answer here.
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.headers) == {"content-type", "content-length", "server", "date"}
        (request,) = server.execute.requests
        assert (request.client, request.path_route, request.request_id) == (ARGOCD, None, "test-1")
        assert request.call.input_json == b'{"param1":"value1"}'


async def test_the_example_of_the_documentation_works_as_curl_sends_it() -> None:
    async with served() as server:
        raw = (
            b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: localhost:4355\r\nUser-Agent: curl/8.5.0\r\n"
            b"Accept: */*\r\nAuthorization: Bearer strong-password\r\nContent-Length: %d\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" % len(BODY)
        )
        assert (await server.ask(raw + BODY)).status == 200


async def test_the_call_of_argo_cd_works() -> None:
    async with served() as server:
        reply = await server.ask(
            post(content_type="application/json", accept_encoding="gzip", user_agent="argocd-applicationset")
        )
        assert reply.status == 200
        assert "content-encoding" not in reply.headers


async def test_a_path_may_name_a_route() -> None:
    async with served() as server:
        assert (await server.ask(post(path="/previews" + PATH))).status == 200
        assert (await server.ask(post(path="/previews" + PATH + "?x=1"))).status == 200
        assert [request.path_route for request in server.execute.requests] == ["previews", "previews"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (post(token=None), "token_missing"),
        (post(token="wrong"), "token_wrong"),
        (post(token="$plugin.token"), "token_unresolved"),
        (post(token=None, authorization="Basic c3Ryb25n"), "token_missing"),
        (post(token="str\xf6ng"), "token_wrong"),
        (post(b"not json", token="wrong"), "token_wrong"),
    ],
    ids=["none", "wrong", "unresolved", "another scheme", "not ASCII", "before the body is read"],
)
async def test_without_a_good_token_it_is_a_403(data: bytes, reason: str) -> None:
    async with served() as server:
        check_refusal(await server.ask(data), 403, reason)
        assert server.execute.requests == []


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/api/v1/getparams", PATH + "/", "/a/b" + PATH, "/UPPER" + PATH, "/" + PATH, "/..%2f" + PATH,
     "/%00" + PATH, "/(claims)" + PATH, "/" + "a" * 64 + PATH, "/metrics", "/api/v1/GETPARAMS.execute"],
)  # fmt: skip
async def test_another_path_is_a_404(path: str) -> None:
    async with served() as server:
        check_refusal(await server.ask(post(path=path)), 404, "unknown_path")
        check_refusal(await server.ask(post(b"", path=path, method="GET", token=None)), 404, "unknown_path")
        assert server.execute.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_another_method_is_a_405_that_says_which_is_allowed(method: str) -> None:
    async with served() as server:
        for path in (PATH, "/previews" + PATH):
            reply = await server.ask(post(path=path, method=method))
            check_refusal(reply, 405, "method_not_allowed")
            assert reply.headers["allow"] == "POST"


async def test_the_answer_to_head_has_no_body() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post(b"", method="HEAD", connection="close"))
        assert (await wire.reply(has_body=False)).status == 405
        await wire.closed()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b"null", b'{"applicationSetName":1}', b'{"applicationSetName":""}', b"\xff\xfe",
     b'{"applicationSetName":"a","input":{"parameters":[]}}',
     b'{"applicationSetName":"a","input":{"parameters":{"a":' + b"[" * 400 + b"]" * 400],
    ids=["empty", "cut short", "a list", "no name", "null", "a number for a name", "an empty name", "binary",
         "parameters of another type", "deep and broken"],
)  # fmt: skip
async def test_a_body_that_is_no_call_is_a_400(body: bytes) -> None:
    async with served() as server:
        wire = await server.wire()
        check_refusal(await wire.ask(post(body)), 400, "invalid_request")
        assert (await wire.ask(post())).status == 200, "the connection is as good as before"


async def test_fields_that_are_not_known_are_ignored_and_parameters_may_be_missing() -> None:
    async with served() as server:
        assert (await server.ask(post(b'{"applicationSetName":"a","applicationSetNamespace":"n","x":1}'))).status == 200
        assert server.execute.requests[0].call.application_set_namespace == "n"


@pytest.mark.parametrize("size", [1001, 10 * 1024 * 1024], ids=["a byte too much", "10 MiB"])
async def test_a_body_that_is_too_large_is_a_413(size: int) -> None:
    async with served() as server:
        wire = await server.wire()
        wire.writer.write(post(b"x" * size))
        check_refusal(await wire.reply(), 413, "body_too_large")
        assert (await server.ask(post())).status == 200


async def test_a_body_that_only_says_it_is_too_large_is_not_waited_for() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post(b"", content_length="10485760"))
        check_refusal(await wire.reply(), 413, "body_too_large")


async def test_a_body_at_the_limit_is_read() -> None:
    async with served() as server:
        body = b'{"applicationSetName":"a"' + b" " * (1000 - 26) + b"}"
        assert len(body) == 1000
        assert (await server.ask(post(body))).status == 200


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    return head + body


async def test_a_chunked_body_is_read_and_has_the_same_limit() -> None:
    async with served() as server:
        assert (await server.ask(chunked(BODY[:10], BODY[10:]))).status == 200
        wire = await server.wire()
        wire.writer.write(chunked(*[b"x" * 500] * 20))
        check_refusal(await wire.reply(), 413, "body_too_large")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x"])
async def test_a_compressed_body_is_a_415_and_never_inflated(encoding: str) -> None:
    async with served() as server:
        check_refusal(await server.ask(post(content_encoding=encoding)), 415, "encoding_refused")


async def test_identity_is_no_compression() -> None:
    async with served() as server:
        assert (await server.ask(post(content_encoding="identity"))).status == 200


async def test_who_asks_whether_to_send_the_body_is_told_to() -> None:
    async with served() as server:
        wire = await server.wire()
        data = post(expect="100-continue")
        head, body = data[: -len(BODY)], data[-len(BODY) :]
        await wire.send(head)
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await wire.ask(body)).status == 200


async def test_who_may_not_ask_is_refused_before_the_body_is_sent() -> None:
    async with served() as server:
        for data, status in ((post(b"", token="wrong", expect="100-continue", content_length="50"), 403),
                             (post(b"", expect="100-continue", content_length="5000000"), 413)):  # fmt: skip
            wire = await server.wire()
            await wire.send(data)
            assert (await wire.reply()).status == status


async def test_a_body_that_does_not_come_in_time_is_a_400() -> None:
    async with served(body_timeout_s=0.05) as server:
        wire = await server.wire()
        await wire.send(post()[:-5])
        reply = await wire.reply()
        check_refusal(reply, 400, "invalid_request")
        assert "did not arrive in time" in reply.json["message"]


async def test_a_caller_who_hangs_up_in_the_middle_of_its_body_harms_nobody() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post()[:-5])
        wire.writer.close()
        ended = await server.events.first(RequestEnded)
        assert ended.status in (400, 499)
        assert server.admission.in_flight == 0
        assert (await server.ask(post())).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/v1/getparams.execute HTTP/9.9\r\n\r\n",
        b"BREW /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        post(b"", content_length="3", transfer_encoding="chunked") + b"0\r\n\r\n",
        b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nBad Header\r\n\r\n",
        b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
    ids=["text", "TLS", "a version", "an unheard method", "a length of letters", "a negative length", "two lengths",
         "a length and chunks", "a header without a colon", "a long header", "a long path"],
)  # fmt: skip
async def test_bytes_that_are_no_http_are_a_400_in_json(data: bytes) -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(data)
        reply = await wire.reply()
        check_refusal(reply, 400, "invalid_request")
        assert reply.json["message"] == "the request is not valid HTTP/1.1"
        await wire.closed()
        assert (await server.ask(post())).status == 200


async def test_garbage_after_a_request_does_not_touch_its_answer() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post() + b"garbage\r\n\r\n")
        assert (await wire.reply()).status == 200
        check_refusal(await wire.reply(), 400, "invalid_request")
        await wire.closed()


async def test_a_chunk_that_is_none_is_a_400() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"zz\r\nxx\r\n")
        check_refusal(await wire.reply(), 400, "invalid_request")


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with served() as server:
        wire = await server.wire()
        for _ in range(3):
            reply = await wire.ask(post())
            assert reply.status == 200
            assert reply.headers.get("connection", "keep-alive") == "keep-alive"


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post() + post(token="wrong") + post())
        assert [(await wire.reply()).status for _ in range(3)] == [200, 403, 200]


async def test_http_1_0_is_answered_and_closed() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await wire.reply()).status == 200
        await wire.closed()


async def test_who_wants_to_close_is_let() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post(connection="close"))
        reply = await wire.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        await wire.closed()


async def test_a_hub_that_drains_answers_and_says_that_it_closes() -> None:
    async with served() as server:
        wire, broken = await server.wire(), await server.wire()
        assert (await wire.ask(post())).status == 200
        server.http.draining = True
        reply = await wire.ask(post())
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        await wire.closed()
        reply = await broken.ask(post(path="/nowhere"))
        assert (reply.status, reply.headers["connection"]) == (404, "close")


async def test_a_hub_that_has_drained_takes_no_more() -> None:
    async with served() as server:
        server.admission.closed = True
        reply = await server.ask(post())
        check_refusal(reply, 503, "draining")
        assert reply.headers["retry-after"] == "5"


async def test_what_was_accepted_is_answered_before_the_server_stops() -> None:
    async with served() as server:
        server.execute.gate.clear()
        wire = await server.wire()
        await wire.send(post())
        await server.execute.held.acquire()
        stopping = asyncio.ensure_future(server.http.stop(5.0))
        server.execute.gate.set()
        assert (await wire.reply()).status == 200
        await stopping


async def hold(server: Served, count: int, token: str) -> None:
    """Have so many requests in flight."""
    server.execute.gate.clear()
    for _ in range(count):
        await (await server.wire()).send(post(token=token))
        await server.execute.held.acquire()


async def test_a_client_over_its_limit_is_a_429_and_others_are_not() -> None:
    async with served() as server:
        await hold(server, 3, TOKEN)
        reply = await server.ask(post())
        check_refusal(reply, 429, "client_limit")
        assert reply.headers["retry-after"] == "5"
        other = await server.wire()
        await other.send(post(token="other-password"))
        await server.execute.held.acquire()
        server.execute.gate.set()
        assert (await other.reply()).status == 200
        assert (await server.ask(post())).status == 200


async def test_a_hub_over_its_limit_is_a_503() -> None:
    async with served() as server:
        await hold(server, 5, "other-password")
        reply = await server.ask(post())
        check_refusal(reply, 503, "shedding")
        assert reply.headers["retry-after"] == "5"
        server.execute.gate.set()


async def test_a_caller_who_hangs_up_ends_the_work() -> None:
    async with served(half_closed_s=0.1) as server:
        server.execute.gate.clear()
        wire = await server.wire()
        await wire.send(post())
        await server.execute.held.acquire()
        wire.writer.close()
        await server.execute.cancelled.wait()
        ended = await server.events.first(RequestEnded)
        assert (ended.status, ended.reason) == (499, "client_gone")
        assert server.admission.in_flight == 0


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.__name__)
async def test_every_refusal_of_the_tree_is_json_with_its_status(error: type[HubError]) -> None:
    async with served() as server:
        server.execute.outcome = error('backend "images" has a "problem"')
        reply = await server.ask(post())
        check_refusal(reply, error.status, error.reason)
        assert reply.json["message"] == 'backend "images" has a "problem"'
        assert reply.headers.get("retry-after") == (None if error.retry_after_s is None else str(error.retry_after_s))


@pytest.mark.parametrize(
    "text", ["x" * 2000, "ä€😀" * 300, '"\\' * 600, "\x01" * 600], ids=["long", "wide", "escaped", "control"]
)
async def test_a_long_message_is_cut_and_stays_json(text: str) -> None:
    body = refusal_body(text, "answer_refused")
    assert len(body) <= MAX_REFUSAL_BYTES
    message = json.loads(body)["message"]
    assert message.endswith("…")
    assert text.startswith(message[:-1])
    assert json.loads(refusal_body("short", "x")) == {"message": "short", "error": "x"}


@pytest.mark.parametrize(
    "defect", [RuntimeError("secret detail"), TimeoutError(), KeyError("x"), ConnectionResetError()], ids=repr
)
async def test_a_defect_of_the_hubs_own_is_a_500_in_json_without_its_details(defect: Exception) -> None:
    async with served() as server:
        server.execute.outcome = defect
        wire = await server.wire()
        reply = await wire.ask(post())
        check_refusal(reply, 500, "internal_error")
        assert reply.json["message"] == "the hub failed; its log says why"
        (fault,) = server.events.of(InternalFault)
        assert type(defect).__name__ in fault.traceback
        assert fault.request_id == reply.headers["x-request-id"]


async def test_each_request_is_reported_once_with_what_is_known_of_it() -> None:
    async with served() as server:
        await server.ask(post())
        server.execute.outcome = errors.BackendAbsent("m")
        refused = await server.ask(post())
        await server.ask(post(token="wrong"))
        await server.ask(post(path="/nowhere"))
        good, absent, wrong, nowhere = server.events.of(RequestEnded)
        assert (good.status, good.route, good.client, good.application_set_name, good.sets, good.reason) == (
            200, "previews", "argocd", "fake-appset", 1, "",
        )  # fmt: skip
        assert (absent.status, absent.route, absent.reason, absent.message) == (503, "previews", "backend_absent", "m")
        assert absent.request_id == refused.headers["x-request-id"]
        assert (wrong.status, wrong.route, wrong.client, wrong.application_set_name) == (403, "", "", "")
        assert (nowhere.status, nowhere.reason) == (404, "unknown_path")


async def test_an_answer_of_nothing_is_still_a_whole_document() -> None:
    async with served() as server:
        server.execute.outcome = Answer(body=b'{"output":{"parameters":[]}}', count=0)
        reply = await server.ask(post())
        assert (reply.status, reply.json) == (200, {"output": {"parameters": []}})


async def test_an_answer_that_stands_in_for_an_error_says_so() -> None:
    async with served() as server:
        server.execute.outcome = Answer(body=b'{"output":{"parameters":[]}}', count=0, stale_s=12.7)
        reply = await server.ask(post())
        assert (reply.headers["x-appset-hub-answer"], reply.headers["age"]) == ("stale", "12")


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", False),
        ("oops", False),
    ],
    ids=["a trace", "something longer", "something else"],
)
async def test_a_trace_of_the_caller_is_passed_on_if_it_is_one(header: str, *, taken: bool) -> None:
    async with served() as server:
        assert (await server.ask(post(traceparent=header))).status == 200
        assert server.execute.requests[0].traceparent == (header if taken else "")


async def test_new_tokens_count_from_the_next_request_on() -> None:
    async with served() as server:
        wire = await server.wire()
        assert (await wire.ask(post())).status == 200
        server.authentication.replace(TokenRing([("new", CI)], KEY))
        assert (await wire.ask(post())).status == 403
        assert (await wire.ask(post(token="new"))).status == 200


async def test_a_large_answer_comes_whole() -> None:
    async with served() as server:
        body = b'{"output":{"parameters":[{"a":"' + b"x" * 8_000_000 + b'"}]}}'
        server.execute.outcome = Answer(body=body, count=1)
        assert (await server.ask(post())).body == body


async def test_many_callers_at_once_are_all_answered() -> None:
    async with served(max_in_flight=1000) as server:
        replies = await asyncio.gather(*(server.ask(post(token="other-password")) for _ in range(100)))
        assert {reply.status for reply in replies} == {200}
        assert server.admission.in_flight == 0


async def test_who_asks_for_nothing_is_sent_away() -> None:
    async with served(keepalive_s=0.05, head_timeout_s=0.05) as server:
        silent, done = await server.wire(), await server.wire()
        assert (await done.ask(post())).status == 200
        for wire in (silent, done):
            await wire.closed()


async def test_who_waits_for_an_answer_is_not_sent_away() -> None:
    async with served(keepalive_s=0.05) as server:
        server.execute.gate.clear()
        wire = await server.wire()
        await wire.send(post())
        await server.execute.held.acquire()
        await asyncio.sleep(0.15)
        server.execute.gate.set()
        assert (await wire.reply()).status == 200


async def test_who_does_not_read_is_sent_away_and_gets_no_second_answer() -> None:
    async with served(write_timeout_s=0.2) as server:
        server.execute.outcome = Answer(body=b'{"output":{"parameters":[{"a":"' + b"x" * 16_000_000 + b'"}]}}', count=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(post() + post())
        await server.execute.held.acquire()
        await server.http.stop(5.0)
        assert len(server.execute.requests) == 1, "the second waits until the first is read"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(16_000_000)
        writer.close()


async def test_an_upgrade_is_not_taken_up_and_its_request_is_answered() -> None:
    async with served() as server:
        data = post(connection="Upgrade, HTTP2-Settings", upgrade="h2c")
        for parts in ([data + b"PRI * HTTP/2.0\r\n\r\n"], [data[: -len(BODY)], BODY[:5], BODY[5:]]):
            wire = await server.wire()
            for part in parts:
                await wire.send(part)
                await asyncio.sleep(0.01)
            reply = await wire.reply()
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            await wire.closed()


async def test_a_request_may_name_the_whole_address_and_encode_its_path() -> None:
    async with served() as server:
        assert (await server.ask(post(path="http://hub:4355/previews" + PATH + "?x=1#y"))).status == 200
        assert (await server.ask(post(path="/%70reviews" + PATH))).status == 200
        assert [request.path_route for request in server.execute.requests] == ["previews", "previews"]


async def test_two_tokens_in_one_request_are_no_token() -> None:
    async with served() as server:
        data = post().replace(b"Host: hub", b"Host: hub\r\nAuthorization: Bearer wrong")
        check_refusal(await server.ask(data), 403, "token_wrong")


async def test_a_trailer_is_no_header() -> None:
    async with served() as server:
        data = chunked(BODY).replace(b"Authorization: Bearer " + TOKEN.encode() + b"\r\n", b"")
        trailer = b"Authorization: Bearer " + TOKEN.encode()
        check_refusal(await server.ask(data[:-2] + trailer + b"\r\n\r\n"), 403, "token_missing")


async def test_the_rest_of_a_refused_body_is_dropped_and_the_connection_goes_on() -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(post(b"x" * 5000)[:-4000])
        check_refusal(await wire.reply(), 413, "body_too_large")
        await wire.send(b"x" * 4000)
        assert (await wire.ask(post())).status == 200


@pytest.mark.parametrize("part", [b"x" * 1000, b"A: b\r\n" * 200], ids=["a header", "headers"])
async def test_a_head_that_does_not_end_is_a_400(part: bytes) -> None:
    async with served() as server:
        wire = await server.wire()
        await wire.send(b"POST / HTTP/1.1\r\nX: ")
        for _ in range(20):
            wire.writer.write(part)
            await asyncio.sleep(0.001)
        check_refusal(await wire.reply(), 400, "invalid_request")


async def test_a_body_in_a_hundred_thousand_chunks_is_read_in_no_time() -> None:
    async with served(max_body_bytes=200_000) as server:
        body = b'{"applicationSetName":"a"' + b" " * 100_000 + b"}"
        wire = await server.wire()
        await wire.send(chunked(*(body[index : index + 1] for index in range(len(body)))))
        assert (await wire.reply()).status == 200


async def test_bytes_that_come_one_by_one_are_a_request_all_the_same() -> None:
    async with served() as server:
        wire = await server.wire()
        for byte in post():
            await wire.send(bytes([byte]))
        assert (await wire.reply()).status == 200

"""Nothing that decodes to no parameter sets leaves the hub: judged on the raw bytes of every way out.

Each 200 of the main port is a 200 with ``Content-Length`` and one complete answer; all else is an error to Argo CD.
"""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from hub.core.clients import Client
from hub.core.errors import HubError, leaves
from hub.core.tokens import TokenRing
from hub.http.admission import Admission
from hub.http.app import App
from hub.http.auth import Authentication
from hub.http.getparams import GetParams, RequestIds
from hub.http.limits import PortLimits
from hub.http.server import HttpServer
from hub.http.turns import Turns
from tests.trust.controller import decide
from tests.trust.framing import read_response
from tests.trust.stub import named, says
from tests.trust.wire import GETPARAMS, TOKEN_HEADER, Caller, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.core.combine import Answer
    from hub.core.events import Event
    from hub.service.execute import Request
    from tests.trust.bench import Bench

SEEN = json.loads((Path(__file__).parent / "data" / "verdicts.json").read_text())["cases"]
BODIES = {
    name: read_response(zlib.decompress(base64.b64decode(packed))).body.data
    for name, packed, count in SEEN
    if count is not None
}
EMPTY = [name for name, _, count in SEEN if count == 0]
TWO = named("x", "y")
ANSWER_HEADERS = {b"content-type", b"content-length", b"server", b"date", b"connection"}
TWO_SETS = ({"name": "x"}, {"name": "y"})
MAX_REFUSAL_BYTES = 512

_PATIENCE_S = 20.0
_LINGERS_S = 0.7

BODY = b'{"applicationSetName":"r-one","input":{"parameters":{}}}'


def request(
    method: str = "POST",
    path: str = GETPARAMS,
    body: bytes = BODY,
    *,
    version: str = "HTTP/1.1",
    token: str = TOKEN_HEADER,
    length: str | None = None,
    close: bool = True,
    extra: tuple[str, ...] = (),
) -> bytes:
    lines = [f"{method} {path} {version}", "Host: hub", token, *extra]
    if length != "":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*(line for line in lines if line), "", ""]).encode("latin-1") + body


async def exchange(port: int, data: bytes) -> bytes:
    """Everything that a port sends for these bytes until it closes, or waits for more of them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await _rest(reader)
    finally:
        writer.transport.abort()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    with suppress(ConnectionError, TimeoutError):
        while True:
            # Whoever got an error before all was read is waited for a while: that is not what is tested here.
            async with asyncio.timeout(_LINGERS_S if raw else _PATIENCE_S):
                chunk = await reader.read(1 << 20)
            raw += chunk
            if not chunk:
                break
    return raw


def split(raw: bytes) -> list[bytes]:
    """The responses in what a connection carried; interim ones stay with the final one that follows."""
    found, start, at = [], 0, 0
    while at < len(raw):
        head_end = raw.find(b"\r\n\r\n", at)
        assert head_end >= 0, f"a response without an end of its head: {raw[at:]!r}"
        head = raw[at : head_end + 4]
        at = head_end + 4
        if head.startswith(b"HTTP/1.1 100 "):
            continue
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        assert len(lengths) == 1, f"not exactly one Content-Length: {head!r}"
        at += int(lengths[0].split(b":")[1])
        found.append(raw[start:at])
        start = at
    return found


def judge(raw: bytes, *, good: int = 0) -> list[int]:
    """Check that so many responses are the scripted answer, and all others errors; returns the statuses."""
    statuses, goods = [], 0
    for one in split(raw):
        verdict = decide(one)
        assert verdict.response is not None, one
        status = verdict.response.status
        statuses.append(status)
        if 200 <= status <= 299:
            goods += 1
            assert status == 200, one
            assert verdict.sets == TWO_SETS, one
            assert set(verdict.response.headers) <= ANSWER_HEADERS, one
            continue
        assert verdict.is_error, one
        assert status >= 400, one
        refuses_well(one)
    assert goods == good, raw
    return statuses


def refuses_well(raw: bytes) -> None:
    response = read_response(raw)
    assert response.headers[b"content-type"] == [b"application/json"], raw
    assert response.headers[b"x-request-id"], raw
    assert response.headers[b"content-length"] == [str(len(response.body.data)).encode()], raw
    assert len(response.body.data) <= MAX_REFUSAL_BYTES, raw
    assert set(json.loads(response.body.data)) == {"message", "error"}, raw


@pytest.mark.parametrize("name", BODIES)
async def test_a_backend_that_says_what_was_seen_is_refused(bench: Bench, name: str) -> None:
    """The bodies were seen at a plugin; as an answer of a backend only a list of objects is one."""
    await bench.open()
    reply = await bench.ask(says(BODIES[name]))
    if BODIES[name] == b"[]":
        assert reply.verdict.sets == ()
        return
    assert reply.verdict.is_error, reply
    assert reply.reason == "answer_refused"


@pytest.mark.parametrize("name", EMPTY)
async def test_what_decoded_to_nothing_never_leaves(bench: Bench, name: str) -> None:
    """Neither first, nor after an answer was given, nor from a member beside one that answers well."""
    await bench.open(
        backends={"b": {}, "good": {}},
        routes=[
            {"name": "r", "application_sets": ["r-*"], "backends": ["b"]},
            {"name": "both", "application_sets": ["both"], "backends": ["good", "b"]},
            {"name": "merged", "application_sets": ["merged"], "backends": ["good", "b"], "combine": MERGE},
        ],
    )
    await bench.attach(type(bench.backend)("good", lambda _: TWO))
    assert (await bench.ask(TWO)).status == 200
    bad = says(BODIES[name]) if BODIES[name].strip() != b"[]" else says(b"")
    for question in ("r-one", "r-two", "both", "merged"):
        reply = await bench.ask(bad, name=question)
        assert reply.verdict.is_error, reply
        refuses_well(reply.raw)


MERGE = {"merge": {"on": ["name"]}}


async def test_an_empty_list_is_an_answer_when_the_backend_says_so(bench: Bench) -> None:
    await bench.open()
    reply = await bench.ask(says(b"[]"))
    assert reply.body == b'{"output":{"parameters":[]}}'
    assert (reply.status, reply.headers["content-length"]) == (200, "28")
    assert reply.verdict.sets == ()


BIG = b'{"applicationSetName":"r-one","input":{"parameters":{"a":"' + b"x" * 2_000_000 + b'"}}}'

# What is sent, and how many of the responses are the scripted answer.
REQUESTS: list[Any] = [
    pytest.param(request(), 1, [200], id="a question"),
    pytest.param(request(path=f"/r{GETPARAMS}"), 1, [200], id="a route in the path"),
    pytest.param(request(version="HTTP/1.0"), 1, [200], id="HTTP/1.0"),
    pytest.param(request(version="HTTP/1.0", extra=("Connection: keep-alive",), close=False), 1, [200], id="1.0 kept"),
    pytest.param(request(extra=("Expect: 100-continue",)), 1, [200], id="expects to continue"),
    pytest.param(request(extra=("Accept-Encoding: gzip, br, zstd",)), 1, [200], id="would take gzip"),
    pytest.param(request(extra=("Accept: text/html",)), 1, [200], id="wants HTML"),
    pytest.param(request(extra=("Range: bytes=0-9", "If-None-Match: *")), 1, [200], id="wants a part, or nothing new"),
    pytest.param(request(extra=("Content-Type: application/x-www-form-urlencoded",)), 1, [200], id="a form"),
    pytest.param(request(path=f"{GETPARAMS}?a=b"), 1, [200], id="a query"),
    pytest.param(request(path=f"http://hub{GETPARAMS}"), 1, [200], id="an absolute path"),
    pytest.param(request(close=False) * 3 + request(), 4, [200] * 4, id="four in one go"),
    pytest.param(
        request(close=False)
        + request(path="/nowhere", close=False)
        + request(token="Authorization: Bearer x", close=False)
        + request(body=b"{", close=False)
        + request(),
        2,
        [200, 404, 403, 400, 200],
        id="good and bad in one go",
    ),
    pytest.param(
        request(body=b"38\r\n" + BODY + b"\r\n0\r\n\r\n", length="", extra=("Transfer-Encoding: chunked",)),
        1,
        [200],
        id="chunks",
    ),
    pytest.param(
        request(body=b"38\r\n" + BODY[:20], length="", extra=("Transfer-Encoding: chunked",)),
        0,
        None,
        id="half a chunk",
    ),
    pytest.param(
        request(body=b"zz\r\n", length="", extra=("Transfer-Encoding: chunked",)), 0, None, id="a chunk without a size"
    ),
    pytest.param(request(body=b"0\r\n\r\n", extra=("Transfer-Encoding: chunked",)), 0, None, id="a length and chunks"),
    pytest.param(request(length="5, 6"), 0, None, id="two lengths"),
    pytest.param(request(extra=("Content-Length: 3",)), 0, None, id="two length headers"),
    pytest.param(request(length="-1"), 0, None, id="a negative length"),
    pytest.param(request(length="0"), 0, None, id="no body, but more bytes"),
    pytest.param(request(length="1000"), 0, None, id="a body cut short"),
    pytest.param(request(length="", body=b""), 0, [400], id="no body"),
    pytest.param(request(body=BIG), 0, [413], id="a body too large"),
    pytest.param(request(length="99999999999"), 0, [413], id="a body that says it is too large"),
    pytest.param(request(extra=("Content-Encoding: gzip",)), 0, [415], id="a packed body"),
    pytest.param(request(extra=("X-Large: " + "x" * 20_000,)), 0, [400], id="a head too large"),
    pytest.param(request(path="/" + "x" * 20_000), 0, [400], id="a path too long"),
    pytest.param(request(extra=("no colon",)), 0, [400], id="a header that is none"),
    pytest.param(request(extra=("X y: z",)), 0, [400], id="a name with a space"),
    pytest.param(request(extra=("X: a\x00b",)), 0, [400], id="a NUL in a header"),
    pytest.param(request(version="HTTP/9.9"), 0, None, id="HTTP/9.9"),
    pytest.param(request(version="SPDY/3"), 0, [400], id="another protocol's version"),
    pytest.param(b"GET /\r\n\r\n", 0, None, id="HTTP/0.9"),
    pytest.param(b"\r\n\r\n" + request(), None, None, id="empty lines first"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0, None, id="TLS"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, None, id="HTTP/2"),
    pytest.param(b"\x00" * 100, 0, None, id="zeros"),
    pytest.param(
        request(extra=("Upgrade: websocket", "Connection: upgrade"), close=False), None, None, id="a web socket"
    ),
    pytest.param(request(extra=("Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), close=False), None, None, id="h2c"),
    pytest.param(request(extra=("Expect: 200-ok",)), None, None, id="expects what nobody knows"),
    pytest.param(request("GET"), 0, [405], id="GET"),
    pytest.param(request("PUT"), 0, [405], id="PUT"),
    pytest.param(request("DELETE"), 0, [405], id="DELETE"),
    pytest.param(request("PATCH"), 0, [405], id="PATCH"),
    pytest.param(request("OPTIONS"), 0, [405], id="OPTIONS"),
    pytest.param(request("TRACE"), 0, [405], id="TRACE"),
    pytest.param(request("BREW"), 0, None, id="BREW"),
    pytest.param(request("CONNECT", "hub:443"), 0, None, id="CONNECT"),
    pytest.param(request("OPTIONS", "*"), 0, None, id="OPTIONS *"),
    pytest.param(request(path="/"), 0, [404], id="another path"),
    pytest.param(request(path=f"{GETPARAMS}/"), 0, [404], id="a slash behind"),
    pytest.param(request(path=f"/{GETPARAMS}"), 0, [404], id="two slashes"),
    pytest.param(request(path=f"/r/r{GETPARAMS}"), 0, [404], id="two routes in the path"),
    pytest.param(request(path=f"/R_{GETPARAMS}"), 0, [404], id="no route's name"),
    pytest.param(request(path=f"/none{GETPARAMS}"), 0, [404], id="a route that is none"),
    pytest.param(request(path="/api/v1/getparams%2eexecute"), None, None, id="a path with escapes"),
    pytest.param(request(path=f"/../r{GETPARAMS}"), None, None, id="a path with dots"),
    pytest.param(request(token=""), 0, [403], id="no token"),
    pytest.param(request(token="Authorization: Bearer"), 0, [403], id="an empty token"),
    pytest.param(request(token="Authorization: Basic YTpi"), 0, [403], id="another scheme"),
    pytest.param(request(token="Authorization: Bearer argocd-toke"), 0, [403], id="the start of a token"),
    pytest.param(request(token="Authorization: Bearer argocd-token2"), 0, [403], id="a token and more"),
    pytest.param(request(token="Authorization: Bearer $plugin.token"), 0, [403], id="a reference"),
    pytest.param(request(token="Authorization: Bearer b-token"), 0, [403], id="a backend's token"),
    pytest.param(request(token="Authorization: Bearer \xff\xfe"), 0, [403], id="a token that is no text"),
    pytest.param(request(body=b""), 0, [400], id="an empty body"),
    pytest.param(request(body=b"null"), 0, [400], id="null"),
    pytest.param(request(body=b"[]"), 0, [400], id="a list"),
    pytest.param(request(body=b"{}"), 0, [400], id="no name"),
    pytest.param(request(body=b'{"applicationSetName":""}'), 0, [400], id="an empty name"),
    pytest.param(request(body=b'{"applicationSetName":7}'), 0, [400], id="a name that is a number"),
    pytest.param(request(body=b'{"applicationSetName":"r-one","input":[]}'), 0, [400], id="an input that is a list"),
    pytest.param(request(body=b'{"applicationSetName":"r-one"}{}'), 0, [400], id="two documents"),
    pytest.param(request(body=b'{"applicationSetName":"r-\xff"}'), 0, [400], id="a name that is no text"),
    pytest.param(request(body=b"[" * 50_000), 0, [400], id="too deep"),
    pytest.param(request(body=b'{"applicationSetName":"other"}'), 0, [404], id="a name that nobody serves"),
]


@pytest.mark.parametrize(("sent", "good", "statuses"), REQUESTS)
async def test_whatever_is_sent_a_200_is_the_answer_and_all_else_an_error(
    bench: Bench, sent: bytes, good: int | None, statuses: list[int] | None
) -> None:
    await bench.open(limits={"keepalive": "300ms", "body_timeout": "500ms"})
    bench.says = TWO
    raw = await exchange(bench.site.hub.http_port, sent)
    if good is None:
        good = sum(b"HTTP/1.1 200" in one for one in split(raw))
    found = judge(raw, good=good)
    if statuses is not None:
        assert found == statuses


async def test_a_head_request_has_no_body_and_is_an_error(bench: Bench) -> None:
    await bench.open()
    for path, status in ((GETPARAMS, 405), ("/", 404), (f"/r{GETPARAMS}", 405)):
        raw = await exchange(bench.site.hub.http_port, request("HEAD", path))
        assert raw.startswith(f"HTTP/1.1 {status} ".encode()), raw
        assert decide(raw).is_error
        assert raw.endswith(b"\r\n\r\n")


async def test_a_body_that_does_not_come_in_time_is_an_error(bench: Bench) -> None:
    await bench.open(limits={"body_timeout": "50ms"})
    raw = await exchange(bench.site.hub.http_port, request(length="1000"))
    assert judge(raw) == [400]


async def test_a_hub_that_drains_says_so_and_gives_whole_answers_only(bench: Bench) -> None:
    site = await bench.open()
    bench.says = answer = asyncio.get_running_loop().create_future()
    async with site.caller() as waiting, site.caller() as idle:
        await waiting.write(waiting.question("r-one", {}))
        await bench.backend_asked(1)
        await idle.write(idle.request("GET", "/", b""))
        assert (await idle.read()).status == 404
        site.hub._http.draining = True  # noqa: SLF001 - what a drain does first; the rest of it would end the test's port.
        answer.set_result(TWO)
        reply = await waiting.read()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert judge(reply.raw, good=1) == [200]
        site.hub._admission.closed = True  # noqa: SLF001 - and what it does next.
        refused = await idle.ask("r-one", {})
        assert (refused.status, refused.reason, refused.headers["connection"]) == (503, "draining", "close")
        refuses_well(refused.raw)


async def test_a_hub_that_ends_in_the_middle_leaves_an_error_behind(bench: Bench) -> None:
    site = await bench.open(drain={"delay": "0s", "timeout": "100ms"})
    many = named(*range(15_000), "x" * 8_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.hub.http_port, limit=1024)
    bench.says = many
    writer.write(request(close=False))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    stopping = asyncio.ensure_future(site.stop())
    await asyncio.wait([stopping], timeout=1)
    rest = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(1 << 20):
            rest += chunk
    await stopping
    writer.transport.abort()
    verdict = decide(head + rest)
    assert verdict.is_error or verdict.count == 15_001


async def test_an_answer_that_waits_when_the_hub_ends_is_an_error(bench: Bench) -> None:
    site = await bench.open(drain={"delay": "0s", "timeout": "50ms"})
    bench.says = None
    asking = asyncio.ensure_future(exchange(site.hub.http_port, request()))
    await bench.backend_asked(1)
    await site.hub.drain(0.0)
    raw = await asking
    assert not raw or judge(raw) == [503]
    assert decide(raw).is_error


async def test_the_other_ports_never_look_like_an_answer(bench: Bench) -> None:
    site = await bench.open()
    bench.says = TWO
    for path in (GETPARAMS, f"/r{GETPARAMS}", "/", "/api/held", "/api/routes", "/livez", "/readyz", "/metrics"):
        raw = await exchange(site.hub.admin_port, request(path=path))
        assert decide(raw).is_error, raw
    assert decide(await exchange(site.hub.rpc.port, request())).is_error


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request(path="/nowhere"), id="404"),
        pytest.param(request("PUT", "/api/held"), id="405"),
        pytest.param(request(path="/api/held/x/accept", token=""), id="403"),
        pytest.param(request(path="/api/held/x/accept", token="Authorization: Bearer admin-token"), id="400"),
        pytest.param(request("GET", "/api/history"), id="no name"),
        pytest.param(request("GET", "/api/explain?name=x&parameters=["), id="no JSON"),
        pytest.param(
            request(path="/api/held/x/accept", token="Authorization: Bearer admin-token", body=BIG + BIG), id="413"
        ),
    ],
)
async def test_the_admin_ports_refusals_are_errors_in_our_words(bench: Bench, sent: bytes) -> None:
    site = await bench.open()
    raw = await exchange(site.hub.admin_port, sent)
    assert decide(raw).is_error
    refuses_well(raw)


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\r\n\r\n", b"POST / HTTP/1.1\r\nX y: z\r\n\r\n", request("GET", extra=("Expect: 200-ok",))],
    ids=["TLS", "a header that is none", "expects what nobody knows"],
)
async def test_what_is_no_http_is_an_error_on_the_admin_port_too(bench: Bench, sent: bytes) -> None:
    site = await bench.open()
    assert decide(await exchange(site.hub.admin_port, sent)).is_error


class _Events:
    def emit(self, event: Event) -> None:
        """Nobody looks."""


class _Raises:
    def __init__(self, outcome: BaseException | Answer) -> None:
        self._outcome = outcome

    async def __call__(self, request: Request) -> Answer:  # noqa: ARG002 - its port's signature.
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


@asynccontextmanager
async def serving(outcome: BaseException | Answer) -> AsyncIterator[int]:
    """The real edge over a use case that ends so."""
    events, ids = _Events(), RequestIds("x")
    getparams = GetParams(
        execute=_Raises(outcome),
        authentication=Authentication(TokenRing([("argocd-token", Client(name="argocd"))], b"key")),
        admission=Admission(10),
        turns=Turns(),
        events=events,
        stopwatch=lambda: 0.0,
        body_timeout_s=1.0,
        max_input_depth=64,
    )
    server = HttpServer(
        App(getparams=getparams, request_ids=ids, events=events), PortLimits(max_body_bytes=1000, keepalive_s=10.0)
    )
    try:
        yield await server.listen("127.0.0.1", 0)
    finally:
        await server.stop(0.1)


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("message", ["why", "", "x" * 2000, 'ü"\\\n\x00😀' * 90], ids=["short", "none", "long", "odd"])
async def test_every_refusal_is_an_error(kind: type[HubError], message: str) -> None:
    async with serving(kind(message)) as port:
        assert judge(await exchange(port, request())) == [kind.status]


@pytest.mark.parametrize(
    "outcome",
    [
        ValueError("secret"),
        KeyError(),
        RecursionError(),
        MemoryError(),
        TimeoutError(),
        StopAsyncIteration(),
        ExceptionGroup("several", [ValueError()]),
        web.HTTPOk(),
        web.HTTPNoContent(),
        web.HTTPFound("/"),
        web.HTTPNotModified(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_defect_is_an_error_that_tells_no_secret(outcome: BaseException) -> None:
    async with serving(outcome) as port:
        raw = await exchange(port, request())
    assert judge(raw) == [500]
    assert b"secret" not in raw


async def test_a_cancelled_use_case_leaves_no_success_behind() -> None:
    async with serving(asyncio.CancelledError()) as port:
        raw = await exchange(port, request())
    assert decide(raw).is_error


async def test_a_reply_that_is_read_in_parts_is_whole(bench: Bench) -> None:
    await bench.open()
    reply: Reply = await bench.ask(TWO)
    for cut in range(len(reply.raw)):
        verdict = decide(reply.raw[:cut])
        assert verdict.is_error, f"cut after {cut} bytes it would be taken for {verdict.sets}"
    async with Caller(bench.site.hub.http_port, "argocd-token") as caller:
        assert (await caller.ask("r-one", {})).raw.partition(b"Date:")[0] == reply.raw.partition(b"Date:")[0]

"""Where bytes from outside enter, each as a function of bytes that may raise nothing.

Errors of the project's tree are what bad bytes have to end in, so each function expects those of its own entry.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import yaml
from appset_hub.v1 import registry_pb2

from backends.http_plugin.envelope import parse_sets, what_it_says
from hub.config.document import BadDocument, parse
from hub.core.addresses import AddressFault, admits
from hub.core.addresses import parse as parse_address
from hub.core.answer import Limits, check
from hub.core.combine import Recipe, combine
from hub.core.errors import HubError
from hub.core.guard import shown_input
from hub.core.question import parse_call
from hub.core.registration import RegistrationError, check_info
from hub.core.values import ValueRules
from hub.http.connection import Connection
from hub.http.crowd import Crowd
from hub.http.limits import PortLimits
from hub.http.reply import Reply, refused
from hub.http.turns import Restraint
from hub.rpc import codec
from hub.rpc.handlers import UNDECODABLE, decoder
from hub.schema import validator
from hub.schema.cost import cost, looping
from hub.service.ports import AskError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from hub.http.request import HttpRequest

Act = Callable[[bytes], object]


class Target(NamedTuple):
    """One entry: good inputs, words that mean something to what reads them, and the function, while it is open."""

    examples: Sequence[bytes]
    words: Sequence[bytes]
    opened: Callable[[], AbstractContextManager[Act]]


CALLS = [
    b'{"applicationSetName":"fb-1","input":{"parameters":{"a":"b","n":[1,{"x":null}]}}}',
    b'{"applicationSetName":"fb-1","applicationSetNamespace":"argocd","input":{"parameters":{}}}',
]
ANSWERS = [
    b'[{"a":"b","n":1},{"a":"c","n":{"x":[1,2,{"y":null}],"z":-0}}]',
    b'[{"a.b":"1"},{"a":{"b":true}},{"":{"":1}}]',
    b"[]",
]
JSON_WORDS = [b'"', b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b'":', b",", b"null", b"true", b'"a":', b"[" * 300]


def read_call(data: bytes) -> None:
    with suppress(HubError):
        call = parse_call(data)
        shown_input(call.parameters)
        json.loads(call.input_json)


def read_answer(data: bytes) -> None:
    with suppress(HubError):
        answer = check(data, subject='backend "b"', limits=Limits(), identify=True)
        made = combine([("b", answer)], Recipe(route="r", identify=True), {}, Limits())
        # What leaves is one JSON document with as many sets as are said.
        assert len(json.loads(made.body)["output"]["parameters"]) == made.count
        combine([("b", answer)], Recipe(route="r", values=ValueRules(numbers="text", nulls="drop")), {}, Limits())


def read_registration(data: bytes) -> None:
    message = decoder(registry_pb2.AttachRequest, len(data))(data)
    if message is UNDECODABLE:
        return
    with suppress(RegistrationError):
        check_info(codec.info(message.hello.backend))
    for answer in message.answers.answers:
        with suppress(AskError):
            codec.outcome(answer)


def read_schema(data: bytes) -> None:
    try:
        schema = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    looping(schema)
    if cost(schema) is not None:
        assert isinstance(validator.problem(data), str)


def read_address(data: bytes) -> None:
    with suppress(AddressFault):
        target = parse_address(data.decode("latin-1"))
        admits(("*", "10.*:*", "[::1]:*"), target)
        # What was parsed is one spelling, which stays itself.
        assert parse_address(str(target)) == target


def read_configuration(data: bytes) -> None:
    with suppress(BadDocument, yaml.YAMLError, UnicodeDecodeError):
        parse(data.decode())


def read_plugin_answer(data: bytes) -> None:
    from appset_hub import BrokenAnswer  # noqa: PLC0415 - for this target only.

    what_it_says(data, "secret")
    with suppress(BrokenAnswer):
        parse_sets(data)


class _Wire(asyncio.Transport):
    """A transport without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else ("127.0.0.1", 1) if name == "peername" else default

    def setsockopt(self, *_: object) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class _Site:
    """A port of one connection."""

    limits = PortLimits(max_body_bytes=4096, linger_s=0.0)
    draining = False

    def __init__(self) -> None:
        self.crowd = Crowd(self.limits)
        self.restraint = Restraint(self.limits.refusals_per_s, lambda: 0.0)

    def opened(self, connection: Connection) -> None:
        self.crowd.add(connection)

    def closed(self, connection: Connection) -> None:
        self.crowd.remove(connection)

    def date(self) -> bytes:
        return b"now"


class _Handler:
    """Reads each request, and answers it."""

    async def __call__(self, request: HttpRequest) -> Reply:
        try:
            body = await request.body(0.01)
        except HubError as error:
            return self.refuse(error)
        return Reply(status=200, body=b'{"n":%d}' % len(body))

    def refuse(self, error: HubError) -> Reply:
        return refused(error, "id")


REQUESTS = [
    b"POST /api/v1/getparams.execute HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n\r\na",
]
HTTP_WORDS = [
    b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked", b"HTTP/1.1", b"Expect: 100-continue",
    b"0\r\n\r\n", b": ", b"POST ", b"x" * 5000,
]  # fmt: skip


async def serve_bytes(data: bytes) -> None:
    """Send bytes to a connection, in pieces, and look at what it says."""
    wire = _Wire()
    connection = Connection(cast("Any", _Handler()), cast("Any", _Site()))
    connection.connection_made(wire)
    chance = random.Random(len(data))
    at = 0
    while at < len(data) and not wire.ended:
        size = chance.choice((1, 7, 100, 100_000))
        connection.data_received(data[at : at + size])
        at += size
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    connection.look_at_clock(asyncio.get_running_loop().time() + 1000.0)
    await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.sleep(0)
    # Every answer is one of ours.
    for part in wire.written.split(b"HTTP/1.1 ")[1:]:
        assert part[:3] in (b"100", b"200", b"400", b"413"), wire.written


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def serving() -> Iterator[Act]:
    """Serve bytes on a loop that lasts; an exception that only the loop sees is one too."""
    loop = asyncio.new_event_loop()
    unhandled: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))

    def act(data: bytes) -> None:
        unhandled.clear()
        loop.run_until_complete(serve_bytes(data))
        assert unhandled == []

    try:
        yield act
        loop.run_until_complete(_end(asyncio.all_tasks(loop)))
    finally:
        loop.close()


def registration() -> bytes:
    info = registry_pb2.BackendInfo(
        name="images", instance="one", version="1", application_sets=["fb-*"], unique_by=["name"],
        input_schema_json=b'{"type":"object"}',
    )  # fmt: skip
    return registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=info)).SerializeToString()


def answers() -> bytes:
    message = registry_pb2.AttachRequest()
    message.answers.answers.add(question_id=1).response.parameters_json = b"[]"
    return message.SerializeToString()


SCHEMAS = [
    b'{"type":"object","required":["a"],"properties":{"a":{"type":"string","pattern":"^[a-z]{1,20}$"}}}',
    b'{"$defs":{"n":{"oneOf":[{"type":"string"},{"properties":{"l":{"$ref":"#/$defs/n"}}}]}},"$ref":"#/$defs/n"}',
    b'{"items":{"anyOf":[{"enum":[1,"a",null]},{"format":"date-time"}]},"uniqueItems":true}',
]
CONFIGURATIONS = [
    b'listen: {http: ":4355"}\nclients:\n- name: argocd\n  tokens: [{file: token}]\nroutes: []\n',
    b"a: &x {b: 1}\nc: {<<: *x, d: [1, 2.5, yes, null, '07', \"\\u00e9\"]}\n",
]
ADDRESSES = [b"images.svc:50051", b"dns:///images:50051", b"[2001:db8::1]:50051", b"10.0.0.1:50051"]

TARGETS = {
    "request": Target(CALLS, [*JSON_WORDS, b'"input"', b'"parameters"'], lambda: nullcontext(read_call)),
    "answer": Target(ANSWERS, JSON_WORDS, lambda: nullcontext(read_answer)),
    "registration": Target(
        [registration(), answers()], [b"\x0a", b"\xff\xff\xff\xff\x0f", b"\x80"], lambda: nullcontext(read_registration)
    ),
    "schema": Target(
        SCHEMAS,
        [*JSON_WORDS, b'"$ref":"#"', b'"not":', b'"pattern":"(a{1,99}){1,99}"'],
        lambda: nullcontext(read_schema),
    ),
    "address": Target(
        ADDRESSES,
        [b"unix:", b"dns:", b"127.0.0.1", b"::ffff:", b"%", b"//", b".", b":"],
        lambda: nullcontext(read_address),
    ),
    "configuration": Target(
        CONFIGURATIONS,
        [b"- ", b": ", b"\n", b"&a ", b"*a", b"!!int ", b"<<: "],
        lambda: nullcontext(read_configuration),
    ),
    "plugin answer": Target(
        [b'{"output":{"parameters":[{"a":"b"}]}}', b'{"error":"no"}'],
        [*JSON_WORDS, b'"Output"'],
        lambda: nullcontext(read_plugin_answer),
    ),
    "http": Target(REQUESTS, HTTP_WORDS, serving),
}

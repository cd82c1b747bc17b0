"""The port for Argo CD on a real socket, in front of a use case that does what the test says; and a client of bytes."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.core.clients import Client
from hub.core.combine import Answer
from hub.core.tokens import TokenRing
from hub.http.admission import Admission
from hub.http.app import App
from hub.http.auth import Authentication
from hub.http.getparams import GetParams, RequestIds
from hub.http.limits import PortLimits
from hub.http.server import HttpServer
from hub.http.turns import Turns
from tests.support.fakes import FakeEvents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.service.execute import Request

PATH = "/api/v1/getparams.execute"
TOKEN = "strong-password"
BODY = b'{"applicationSetName":"fake-appset","input":{"parameters":{"param1":"value1"}}}'
ANSWER = Answer(body=b'{"output":{"parameters":[{"key1":"val1"}]}}', count=1)

KEY = b"k" * 32
ARGOCD = Client(name="argocd", max_in_flight=3)
CI = Client(name="ci", max_in_flight=100)


class FakeExecute:
    """Answers every request with ``outcome``, or holds it while ``gate`` is closed."""

    def __init__(self) -> None:
        self.outcome: Answer | BaseException = ANSWER
        self.requests: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.held = asyncio.Semaphore(0)
        self.cancelled = asyncio.Event()

    async def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        request.route_name = "previews"
        self.held.release()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One response, as it came over the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        reason: str = self.json["error"]
        return reason


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, has_body: bool = True) -> Reply:
        """The next response; it must be framed with Content-Length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        assert "transfer-encoding" not in headers
        body = await self.reader.readexactly(int(headers["content-length"])) if has_body else b""
        return Reply(status=int(status_line.split()[1]), headers=headers, body=body)

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def closed(self) -> None:
        """Return when the hub has closed the connection without another byte."""
        assert await self.reader.read() == b""


def post(
    body: bytes = BODY, *, path: str = PATH, token: str | None = TOKEN, method: str = "POST", **headers: str
) -> bytes:
    """A request as bytes; ``content_type`` stands for Content-Type and so on."""
    lines = [f"{method} {path} HTTP/1.1", "Host: hub"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines += [f"{name}: {value}" for name, value in ({"content-length": str(len(body))} | named).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Served:
    """The running server, and what stands behind it."""

    def __init__(
        self,
        *,
        max_in_flight: int = 5,
        body_timeout_s: float = 5.0,
        max_body_bytes: int = 1000,
        keepalive_s: float = 75.0,
        **limits: Any,
    ) -> None:
        self.execute = FakeExecute()
        self.events = FakeEvents()
        self.admission = Admission(max_in_flight)
        self.authentication = Authentication(TokenRing([(TOKEN, ARGOCD), ("other-password", CI)], KEY))
        getparams = GetParams(
            execute=self.execute,
            authentication=self.authentication,
            admission=self.admission,
            turns=Turns(),
            events=self.events,
            stopwatch=asyncio.get_running_loop().time,
            body_timeout_s=body_timeout_s,
            max_input_depth=64,
        )
        app = App(getparams=getparams, request_ids=RequestIds("test"), events=self.events)
        self.http = HttpServer(app, PortLimits(max_body_bytes=max_body_bytes, keepalive_s=keepalive_s, **limits))
        self.port = 0
        self._wires: list[Wire] = []

    async def open(self) -> None:
        self.port = await self.http.listen("127.0.0.1", 0)

    async def wire(self) -> Wire:
        """A new connection."""
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        self._wires.append(wire)
        return wire

    async def ask(self, data: bytes) -> Reply:
        """One request on a connection of its own."""
        return await (await self.wire()).ask(data)

    async def close(self) -> None:
        for wire in self._wires:
            wire.writer.close()
        await self.http.stop(5.0)


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Served]:
    """Serve inside the block."""
    server = Served(**settings)
    await server.open()
    try:
        yield server
    finally:
        server.execute.gate.set()
        await server.close()

"""HTTP on a bare socket: every byte that the hub sends is kept, so that the model can judge it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.trust.controller import Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

GETPARAMS = "/api/v1/getparams.execute"
TOKEN_HEADER = "Authorization: Bearer argocd-token"
_PATIENCE_S = 30.0
_HELD_ID = re.compile(r"(?:accept |rejected it \()([0-9a-f]{8})")


class NotAnswered(Exception):
    """The connection ended before a whole response came; ``raw`` is what there was of it."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(f"cut after {raw!r}")
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: all of its bytes, and its parts."""

    raw: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def verdict(self) -> Verdict:
        """What Argo CD makes of it."""
        return decide(self.raw)

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The sets of a proper 200, exactly as they are written."""
        assert self.status == 200, self
        sets: list[dict[str, Any]] = json.loads(self.body)["output"]["parameters"]
        return sets

    @property
    def names(self) -> list[str]:
        """The name in each set of a 200."""
        return [one["name"] for one in self.sets]

    @property
    def stale(self) -> bool:
        return self.headers.get("x-appset-hub-answer") == "stale"

    @property
    def reason(self) -> str:
        """The stable reason of a refusal."""
        assert self.status >= 400, self
        return str(json.loads(self.body)["error"])

    @property
    def message(self) -> str:
        assert self.status >= 400, self
        return str(json.loads(self.body)["message"])

    @property
    def held_id(self) -> str:
        """The id in the message of a held answer."""
        assert (self.status, self.reason) == (409, "answer_held"), self
        found = _HELD_ID.search(self.message)
        assert found, self
        return found[1]


class Caller:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def move(self, port: int) -> None:
        """Talk to another port from now on, as after a restart."""
        if port != self._port:
            self._port = port
            await self.close()

    def request(self, method: str, path: str, body: bytes, **headers: str) -> bytes:
        """The bytes of a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: hub", f"Authorization: Bearer {self._token}"]
        lines += ["User-Agent: argocd-applicationset", "Accept-Encoding: gzip", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def question(self, name: str, parameters: Mapping[str, Any] | None = None, *, route: str = "") -> bytes:
        """The bytes of a question, as Argo CD sends it."""
        envelope = {"applicationSetName": name, "input": {} if parameters is None else {"parameters": parameters}}
        return self.request("POST", f"/{route}{GETPARAMS}" if route else GETPARAMS, json.dumps(envelope).encode())

    async def ask(self, name: str, parameters: Mapping[str, Any] | None = None, *, route: str = "") -> Reply:
        """Ask, and wait for the answer."""
        return await self.send(self.question(name, parameters, route=route))

    async def send(self, data: bytes) -> Reply:
        """Send one request, and read its response."""
        (reply,) = await self.pipeline([data])
        return reply

    async def pipeline(self, requests: list[bytes]) -> list[Reply]:
        """Send requests in one go, and read as many responses.

        Raises:
            NotAnswered: the connection ended before.
        """
        await self.write(b"".join(requests))
        return [await self.read() for _ in requests]

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        _, writer = await self._open()
        writer.write(data)
        try:
            await writer.drain()
        except ConnectionError as error:
            raise NotAnswered(b"") from error

    async def read(self) -> Reply:
        """Read one response."""
        reader, _ = await self._open()
        head = b""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, headers = _parsed(head)
                body = await reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError as error:
            raise NotAnswered(head + error.partial) from error
        except ConnectionError as error:
            raise NotAnswered(head) from error
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Reply(head + body, status, headers, body)

    async def rest(self) -> bytes:
        """Whatever comes until the other side closes."""
        reader, _ = await self._open()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await reader.read()
        except ConnectionError:
            return b""

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=64 * 1024)
            except OSError as error:
                raise NotAnswered(b"") from error
        return self._streams

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(ConnectionError):
                await streams[1].wait_closed()

    async def hang_up(self) -> None:
        """End the connection without a word."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
            with suppress(ConnectionError):
                await streams[1].wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"said twice: {line}"
            headers[name.lower()] = value.strip()
    return int(first.split(" ", 2)[1]), headers

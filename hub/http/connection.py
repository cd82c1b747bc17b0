"""One connection: bytes become requests, and replies become bytes again, one request after the other.

httptools (llhttp, in its strict mode) reads the bytes. What is here is the order: the next request waits until the one
before is answered and read, invalid HTTP gets an error response too, and anything that takes too long is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import unquote

import httptools

from hub.core.errors import HubError, InvalidRequest, Shedding
from hub.http.request import HttpRequest
from hub.service.flights import Caller

if TYPE_CHECKING:
    from hub.http.crowd import Crowd, Kind
    from hub.http.limits import PortLimits
    from hub.http.reply import Reply
    from hub.http.turns import Restraint

_LINGER_LATE_S = 0.2
_LINGER_BYTES = 64 * 1024 * 1024  # How much of a refused request is read and dropped.
_HEAD_SLICE = 4 * 1024  # More of a head is parsed piece by piece, so that its size is noticed before its end.
_NOT_HTTP = "the request is not valid HTTP/1.1"
_JOINED_BYTES = 64 * 1024  # Up to here head and body are joined; above, the copy costs more than a second buffer.

# The headers that somebody here reads.
_READ = {
    name.encode(): name for name in ("authorization", "content-encoding", "content-length", "expect", "traceparent")
}


class _HeadTooLong(Exception):
    """More than anybody needs to say whom he asks."""


class Handler(Protocol):
    """Answers requests."""

    async def __call__(self, request: HttpRequest, /) -> Reply:
        """Answer one. If it raises, the connection breaks: an error to Argo CD, and so safe."""
        ...

    def refuse(self, error: HubError) -> Reply:
        """Refuse what is not even a request."""
        ...


class Site(Protocol):
    """What all connections of a port share."""

    limits: PortLimits
    crowd: Crowd
    restraint: Restraint
    draining: bool

    def opened(self, connection: Connection) -> None:
        """One more is connected; it may have to go at once."""
        ...

    def closed(self, connection: Connection) -> None:
        """It has gone."""
        ...

    def date(self) -> bytes:
        """Now, as the header says it."""
        ...


class Connection(asyncio.Protocol):
    """asyncio calls it with bytes, httptools with what they mean."""

    _transport: asyncio.Transport

    def __init__(self, handler: Handler, site: Site, generation: int = 0) -> None:
        self._handler = handler
        self._site = site
        self.generation = generation
        """Of the site's TLS, when it was accepted."""
        self._is_retired = False
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._is_in_head = False
        self._arriving: HttpRequest | None = None
        # ``None`` is what was no request.
        self._waiting: deque[HttpRequest | None] = deque()
        self._task: asyncio.Task[None] | None = None
        self._caller: Caller | None = None
        self._read_by_caller: asyncio.Future[None] | None = None
        self._problem = _NOT_HTTP
        self._restrained: str | None = None
        self._unparsed_bytes = 0
        self._dropped_bytes = 0
        self._is_lingering = False
        self._head_began_s = self._written_s = 0.0
        self._half_closed_s: float | None = None
        self.peer = ""
        """The address that it comes from."""
        self.kind: Kind = "stranger"
        """What it is to the others; the crowd keeps it."""

    def stop(self) -> None:
        """Take no more requests; what is under way is answered first."""
        if self._task is None or self.kind == "idle":
            self._transport.close()

    def retire(self) -> None:
        """End it with the next answer, which says so to the caller; no request is lost."""
        self._is_retired = True

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    def make_room(self) -> None:
        """End it, since no request is under way; what it was answered is still sent."""
        if self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self._transport.abort()

    def turn_away(self, text: str) -> None:
        """Refuse it before it asks."""
        self._parser = None
        self._site.crowd.refuse(self)
        self._task = self._loop.create_task(self._turn_away(text))

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if peername else ""
        # TLS has written already, and its session tickets may still be on their way.
        self._head_began_s = self._written_s = self._loop.time()
        self._site.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        if self._is_lingering:
            self._drop(data)
        if self._parser is None:
            self._take_unparsed(data)
            return
        try:
            while len(data) > _HEAD_SLICE and self._arriving is None:
                self._feed(data[:_HEAD_SLICE])
                data = data[_HEAD_SLICE:]
            self._feed(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Nobody speaks another protocol here, so the request is as good as any. httptools leaves its body alone.
            self._parser = None
            self._take_unparsed(data[upgrade.args[0] :])
        except (httptools.HttpParserError, _HeadTooLong):
            self._read_no_more()

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self._take_unparsed(data)
            return
        was_in_head = self._is_in_head
        parser.feed_data(data)
        # Of a header that does not end, httptools says nothing, and keeps what has come. Where the head began in this
        # piece, after another request, is not known: then it counts from the next one.
        if self._is_in_head and (was_in_head or b"\r\n\r\n" not in data):
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > self._site.limits.max_head_bytes:
                raise _HeadTooLong

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > _LINGER_BYTES:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The caller sends no more. It may still read, or have gone: an answer that comes soon is worth a try."""
        is_whole = self._task is not None and self._arriving is None and not self._is_in_head
        if not is_whole or self._is_lingering or self._transport.get_extra_info("sslcontext") is not None:
            return False
        self._half_closed_s = self._loop.time()
        return True

    def pause_writing(self) -> None:
        """The caller reads more slowly than the hub writes."""
        self._read_by_caller = self._loop.create_future()

    def resume_writing(self) -> None:
        """The caller has read most of it."""
        if self._read_by_caller is not None and not self._read_by_caller.done():
            self._read_by_caller.set_result(None)
        self._read_by_caller = None
        self._site.crowd.answer_is_read(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The caller has gone, or the hub has ended it."""
        self._parser = None
        self._site.closed(self)
        if self._caller is not None:
            self._caller.hang_up()

    # What httptools says.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers, self._head_bytes, self._is_in_head = b"", {}, 0, True
        self._unparsed_bytes, self._head_began_s = 0, self._loop.time()

    def on_url(self, part: bytes) -> None:
        """A part of the request's target."""
        self._head_bytes += len(part)
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. The values of one that is there twice are joined, so that none is overlooked."""
        self._head_bytes += len(name) + len(value)
        known = _READ.get(name.lower())
        if known is not None and self._arriving is None:
            text = value.decode("utf-8", "surrogateescape")
            self._headers[known] = f"{self._headers[known]}, {text}" if known in self._headers else text

    def on_headers_complete(self) -> None:
        """A head is whole. That is enough to begin: who may not ask is refused before the body comes."""
        self._is_in_head = False
        if self._head_bytes > self._site.limits.max_head_bytes:
            raise _HeadTooLong
        parser = cast("httptools.HttpRequestParser", self._parser)
        request = HttpRequest(
            method=parser.get_method().decode(),
            path=_path(self._target),
            headers=self._headers,
            max_body_bytes=self._site.limits.max_body_bytes,
            transport=self._transport,
        )
        request.is_last = not parser.should_keep_alive() or parser.should_upgrade()
        self._arriving = request
        self._begin(request)

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        if self._arriving is not None:
            self._arriving.take(part)

    def on_message_complete(self) -> None:
        """The request is whole, unless it asks for an upgrade: of that httptools reads the head only."""
        parser = cast("httptools.HttpRequestParser", self._parser)
        if self._arriving is not None and not parser.should_upgrade():
            self._arriving.end()
            self._arriving = None

    def _take_unparsed(self, data: bytes) -> None:
        """Take the body of a request that asked for an upgrade: as much as it said; the rest is nothing to us."""
        request = self._arriving
        if request is not None:
            request.take(data[: request.missing_bytes])
            if not request.missing_bytes:
                request.end()
                self._arriving = None

    def _read_no_more(self) -> None:
        """What came is no HTTP, so nothing that follows can be understood."""
        self._parser = None
        if self._arriving is None:
            self._begin(None)
        else:
            self._arriving.is_last = True
            self._arriving.fail(InvalidRequest("the request's body could not be read"))
            self._arriving = None

    # What becomes of it.

    def _begin(self, request: HttpRequest | None) -> None:
        if self._task is None:
            self._site.crowd.begin(self)
            self._task = self._loop.create_task(self._serve(request))
            self._caller = Caller(self._task.cancel)
        else:
            self._waiting.append(request)
            self._transport.pause_reading()

    async def _serve(self, request: HttpRequest | None) -> None:
        """Answer a request, and those that came meanwhile."""
        task = cast("asyncio.Task[None]", self._task)
        while await self._answered(request):
            if self._restrained is not None and not self._site.restraint.at_once():
                await self._wait_to_ask_again(self._restrained)
            if not self._waiting:
                self._task = self._caller = None
                self._site.crowd.rest(self)
                return
            request = self._waiting.popleft()
            self._caller = Caller(task.cancel)
            if not self._waiting:
                self._transport.resume_reading()
        self._transport.close()

    async def _wait_to_ask_again(self, client: str) -> None:
        """Read no more for a while. Until then it is nobody's loss if the connection has to make room."""
        self._site.crowd.rest(self)
        self._transport.pause_reading()
        await self._site.restraint.wait(client or self.peer)
        if self._waiting:
            self._site.crowd.begin(self)
        else:
            self._transport.resume_reading()

    async def _turn_away(self, text: str) -> None:
        self._write(self._handler.refuse(Shedding(text)), is_last=True)
        # It may have asked already: what it sent has to be read, or it sees a reset instead of the reason.
        await self._lingered(None, _LINGER_LATE_S)
        self._transport.close()

    async def _answered(self, request: HttpRequest | None) -> bool:
        """Answer one request; false if the connection has to end with it."""
        if self._read_by_caller is not None:
            await self._read_by_caller
        if request is None:
            self._write(self._handler.refuse(InvalidRequest(self._problem)), is_last=True)
            return await self._lingered(None)
        request.caller = cast("Caller", self._caller)
        try:
            reply = await self._handler(request)
        except BaseException:
            self._transport.abort()
            raise
        self._restrained = reply.restrains
        is_last = request.is_last or request.is_late or self._is_retired or self._site.draining or self._is_half_closed
        self._write(reply, is_last=is_last, with_body=request.method != "HEAD")
        return (request.is_whole or await self._lingered(request)) and not is_last

    def _write(self, reply: Reply, *, is_last: bool, with_body: bool = True) -> None:
        head = reply.head(self._site.date(), is_last=is_last)
        self._written_s = self._loop.time()
        if not with_body:
            self._transport.write(head)
        elif len(reply.body) <= _JOINED_BYTES:
            self._transport.write(head + reply.body)
        else:
            # Not writelines(): that of asyncio in Python 3.12.0 to 3.13.1 never pauses, however slowly the peer reads.
            self._transport.write(head)
            self._transport.write(reply.body)
        if self._read_by_caller is not None:
            self._site.crowd.answer_is_unread(self, self._transport.get_write_buffer_size())

    async def _lingered(self, request: HttpRequest | None, within_s: float | None = None) -> bool:
        """Read and drop what the caller still sends, or it might never see the answer; true if that came to its end.

        Of what is no HTTP (``None``) there is no end but the caller's.
        """
        if self._half_closed_s is not None:
            return False
        if self._parser is None and self._transport.can_write_eof():
            self._transport.write_eof()
        self._is_lingering = True
        try:
            with suppress(TimeoutError):
                if request is not None and request.is_late:
                    within_s = _LINGER_LATE_S  # It has had its time.
                async with asyncio.timeout(self._site.limits.linger_s if within_s is None else within_s):
                    if request is not None and self._parser is not None:
                        await request.end_of_body()
                        return request.is_whole
                    await self._loop.create_future()
        finally:
            self._is_lingering = False
        return False

    @property
    def _is_half_closed(self) -> bool:
        return self._half_closed_s is not None and not self._waiting

    def look_at_clock(self, now_s: float) -> None:
        """End the connection if what it is at takes too long."""
        limits = self._site.limits
        if self._transport.get_write_buffer_size():
            if now_s >= self._written_s + limits.write_timeout_s:
                self._transport.abort()
        elif self._task is not None:
            if self._half_closed_s is not None and now_s >= self._half_closed_s + limits.half_closed_s:
                self._transport.abort()
        elif self._is_in_head:
            if now_s >= self._head_began_s + limits.head_timeout_s:
                self._problem = f"the request's head did not arrive within {limits.head_timeout_s:g} s"
                self._read_no_more()
        elif now_s >= self._quiet_until_s:
            self._transport.abort()

    @property
    def _quiet_until_s(self) -> float:
        if self.kind == "stranger":
            return self._head_began_s + self._site.limits.head_timeout_s
        return self._written_s + self._site.limits.keepalive_s


@lru_cache(maxsize=64)
def _path(target: bytes) -> str:
    """The path of a request's target, decoded, without its query; empty if there is none."""
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        return ""
    return unquote((path or b"").decode("latin-1"))

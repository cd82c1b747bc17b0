"""A request as it arrives: its head first, and then its body, which the hub may never want."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from hub.core.errors import BodyTooLarge, InvalidRequest

if TYPE_CHECKING:
    from hub.core.errors import HubError
    from hub.service.flights import Caller

_MAX_DIGITS = 18
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpRequest:
    """One request.

    ``headers`` have lower-case names, and are those only that somebody reads; ``is_last`` says that its connection ends
    with it, ``is_whole`` that its body is here to the end, ``is_late`` that it did not come in time. ``caller`` is who
    waits for the reply.
    """

    __slots__ = (
        "_arrived", "_body", "_body_bytes", "_ended", "_failure", "_max_body_bytes", "_transport", "caller", "headers",
        "is_last", "is_late", "is_whole", "method", "path",
    )  # fmt: skip

    caller: Caller

    def __init__(
        self, *, method: str, path: str, headers: dict[str, str], max_body_bytes: int, transport: asyncio.WriteTransport
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.is_last = False
        self.is_whole = False
        self.is_late = False
        self._max_body_bytes = max_body_bytes
        self._transport = transport
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._failure: HubError | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    async def body(self, timeout_s: float) -> bytes:
        """The whole body, at once if it came with the head, as Argo CD's does.

        Raises:
            BodyTooLarge: it is larger than the hub takes, or says that it will be.
            InvalidRequest: it did not come in time, or is not framed as HTTP wants it.
        """
        if self._announced_bytes > self._max_body_bytes:
            raise self._too_large()
        if not self.is_whole and self._failure is None:
            if self.headers.get("expect", "").lower() == "100-continue":
                self._transport.write(_CONTINUE)
            try:
                async with asyncio.timeout(timeout_s):
                    await self.arrival()
            except TimeoutError as error:
                self.is_late = True
                raise InvalidRequest("the request's body did not arrive in time") from error
        if self._failure is not None:
            raise self._failure
        return b"".join(self._body)

    @property
    def _announced_bytes(self) -> int:
        written = self.headers.get("content-length", "0")
        # More digits than a size has: Python refuses to read thousands of them.
        return int(written) if len(written) <= _MAX_DIGITS and written.isdecimal() else sys.maxsize

    @property
    def missing_bytes(self) -> int:
        """How much of an announced body has not come, and is still of use."""
        return 0 if self._failure is not None else self._announced_bytes - self._body_bytes

    async def arrival(self) -> None:
        """Wait until the body is here to its end, or more of it is of no use."""
        if not self.is_whole:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived

    async def end_of_body(self) -> None:
        """Wait until the body is here to its end, or cannot be read, although it is of no use."""
        if not self.is_whole:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended

    def take(self, part: bytes) -> None:
        """A part of the body has come; what is too much is dropped."""
        if self._failure is not None:
            return
        self._body_bytes += len(part)
        if self._body_bytes > self._max_body_bytes:
            self._body.clear()
            self._refuse(self._too_large())
        else:
            self._body.append(part)

    def end(self) -> None:
        """The body has come to its end."""
        self.is_whole = True
        self._wake()
        self._end()

    def fail(self, error: HubError) -> None:
        """The body cannot be read."""
        self._refuse(error)
        self._end()

    def _refuse(self, error: HubError) -> None:
        self._failure = self._failure or error
        self._wake()

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request's body has more than {self._max_body_bytes} bytes")

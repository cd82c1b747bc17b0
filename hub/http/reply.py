"""The one 200 and the one error.

Argo CD takes nearly any 2xx for an empty list and deletes what it made before, so no other module may build a reply:
a 200 is made from a whole ``Answer`` only, everything else is JSON with a message, and both are framed with
``Content-Length``.
"""

from __future__ import annotations

from bisect import bisect_right
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.errors import HubError

MAX_REFUSAL_BYTES = 512

_encode = msgspec.json.Encoder().encode

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_ALWAYS = {"Content-Type": "application/json", "Server": "appset-hub"}


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"\r\n{name}: {value}" for name, value in headers.items()).encode()


_ALWAYS_LINES = _lines(_ALWAYS)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A status, a whole body of JSON, and the headers that are this reply's own.

    ``restrains`` is for a refusal that nobody was asked for: the client that has to wait if it asks again and again,
    empty for the caller's address.
    """

    status: int
    body: bytes
    own_headers: dict[str, str] | None = None
    restrains: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """All headers, but for those that the connection adds."""
        return _ALWAYS | (self.own_headers or {})

    def head(self, date: bytes, *, is_last: bool) -> bytes:
        """Status line and headers as they travel; ``is_last`` says that the connection ends with this reply."""
        return b"%b%b%b\r\nContent-Length: %d\r\nDate: %b%b\r\n\r\n" % (
            _STATUS_LINES[self.status],
            _ALWAYS_LINES,
            b"" if self.own_headers is None else _lines(self.own_headers),
            len(self.body),
            date,
            b"\r\nConnection: close" if is_last else b"",
        )


def answered(answer: Answer) -> Reply:
    """The only 200: the whole answer; one that is stale says so, and how old it is in seconds."""
    if answer.stale_s is not None:
        stale = {"X-AppSet-Hub-Answer": "stale", "Age": str(int(answer.stale_s))}
        return Reply(status=200, body=answer.body, own_headers=stale)
    return Reply(status=200, body=answer.body)


def refused(error: HubError, request_id: str, *, allow: str | None = None, restrains: str | None = None) -> Reply:
    """Any other status: ``{"message": …, "error": reason}``, at most 512 bytes."""
    headers = {"X-Request-Id": request_id}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if allow is not None:
        headers["Allow"] = allow
    body = refusal_body(str(error), error.reason)
    return Reply(status=error.status, body=body, own_headers=headers, restrains=restrains)


def refusal_body(message: str, reason: str) -> bytes:
    """The document of an error; a message that is too long is cut at a character."""
    # Cut once before it is encoded: each character takes a byte at least.
    if len(message) <= MAX_REFUSAL_BYTES and len(body := _error(message, reason)) <= MAX_REFUSAL_BYTES:
        return body
    fitting = bisect_right(
        range(MAX_REFUSAL_BYTES), MAX_REFUSAL_BYTES, key=lambda chars: len(_error(message[:chars] + "…", reason))
    )
    return _error(message[: fitting - 1] + "…", reason)


def _error(message: str, reason: str) -> bytes:
    return _encode({"message": message, "error": reason})

"""The one 200 and the one error.

Argo CD takes nearly any 2xx for an empty list and deletes what it made before, so no other module may build a response:
a 200 is made from a whole ``Answer`` only, everything else is JSON with a message, and both are framed with
``Content-Length``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.errors import HubError

MAX_REFUSAL_BYTES = 512

_JSON = "application/json"
_SERVER = "appset-hub"
_CUT_CHARS = 8  # At a time, until the rest fits.

_encode = msgspec.json.Encoder().encode


def answered(answer: Answer) -> web.Response:
    """The only 200: the whole answer; one that is stale says so, and how old it is in seconds."""
    headers = {"Content-Type": _JSON, "Server": _SERVER}
    if answer.stale_s is not None:
        headers |= {"X-AppSet-Hub-Answer": "stale", "Age": str(int(answer.stale_s))}
    return web.Response(body=answer.body, headers=headers)


def refused(error: HubError, request_id: str, *, allow: str | None = None) -> web.Response:
    """Any other status: ``{"message": …, "error": reason}``, at most 512 bytes."""
    headers = {"Content-Type": _JSON, "Server": _SERVER, "X-Request-Id": request_id}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if allow is not None:
        headers["Allow"] = allow
    return web.Response(status=error.status, body=refusal_body(str(error), error.reason), headers=headers)


def refusal_body(message: str, reason: str) -> bytes:
    """The document of an error; a message that is too long is cut at a character."""
    body = _encode({"message": message, "error": reason})
    while len(body) > MAX_REFUSAL_BYTES:
        message = message.removesuffix("…")[:-_CUT_CHARS] + "…"
        body = _encode({"message": message, "error": reason})
    return body

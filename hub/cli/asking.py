"""How commands speak to a hub: one HTTP request, and its error in words."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import msgspec

from hub.cli.options import failed
from hub.core.nesting import check_levels

if TYPE_CHECKING:
    from pathlib import Path

    from hub.core.settings import Address

_TIMEOUT_S = 60.0


def url_of(address: Address, *, tls: bool = False) -> str:
    """Where a hub that listens on ``address`` is reached from this machine."""
    host = address.host if address.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound.
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{address.port}"


def ask(
    url: str, *, body: dict[str, Any] | None = None, token: str = "", method: str = "GET", ca_file: Path | None = None
) -> Any:
    """Send one request, and decode the JSON of its answer; ends the command with the hub's message if it says no."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the scheme is checked next.
    if request.type not in ("http", "https"):
        failed(f'"{url}" is not an http or https address')
    if body is not None:
        request.data = msgspec.json.encode(body)
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=ca_file) if request.type == "https" else None
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as response:  # noqa: S310 - as above.
            return _decoded(response.read())
    except urllib.error.HTTPError as error:
        failed(f"{error.code}: {_message(error)}")
    except urllib.error.URLError as error:
        failed(f"cannot reach {url}: {error.reason}")
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        failed(f"{url} did not answer as a hub does: {error}")


def _decoded(body: bytes) -> Any:
    check_levels(body)
    return msgspec.json.decode(body)


def _message(error: urllib.error.HTTPError) -> str:
    body = error.read()
    try:
        return str(_decoded(body)["message"])
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:200]

"""What the backends that ask others over HTTP share: configuration files, secrets, trust, and bodies with a limit.

Knows neither questions nor what the others say.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from backends.documents import parse_document
from backends.mistakes import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

T = TypeVar("T")

_WEB_PORTS = {"http": 80, "https": 443}


class TooLong(Exception):
    """A body is longer than its reader allows."""


def load(path: Path, kind: type[T]) -> T:
    """Return what the configuration file says, as a value of type `kind`.

    Raises:
        Mistake: it cannot be read, or says something else.
    """
    try:
        return msgspec.convert(parse_document(_read(path), path), kind)
    except msgspec.ValidationError as error:
        raise Mistake(path, _with_path_first(str(error))) from error


def read_secret(path: Path) -> str:
    """Return the secret in the file, without the white space around it. It is read anew each time, so it may change.

    Raises:
        Mistake: the file cannot be read, or holds nothing that a header can carry. The message is safe to show.
    """
    try:
        secret = _read(path).decode("ascii").strip()
    except UnicodeDecodeError:
        # Without the cause, which holds the bytes.
        raise Mistake(path, "must hold printable ASCII characters only") from None
    if not secret:
        raise Mistake(path, "is empty; it must hold a secret")
    if not secret.isprintable():
        raise Mistake(path, "must hold one line of printable ASCII characters")
    return secret


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings that believe the authorities in `ca_file` alone, or those of the system without one.

    Raises:
        Mistake: the file holds no certificates.
    """
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=_read(ca_file).decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise Mistake(ca_file, "holds no certificates in PEM form") from error


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a web address: who is meant by it, however it is written.

    Raises:
        ValueError: it is none, or holds more than a host and a path.
    """
    parts = urlsplit(url)
    if parts.scheme not in _WEB_PORTS or not parts.hostname:
        raise ValueError("must be http://HOST or https://HOST")
    if parts.username is not None:
        raise ValueError("must not hold credentials; they come from files")
    if "?" in url or "#" in url:
        raise ValueError("must have no query and no fragment")
    return parts.scheme, parts.hostname, parts.port or _WEB_PORTS[parts.scheme]


async def read_body(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Return the whole body.

    Raises:
        TooLong: it has more than `limit_bytes` bytes.
        aiohttp.ClientPayloadError: it ends before it is complete.
    """
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > limit_bytes:
            raise TooLong
    return bytes(body)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Mistake(path, f"cannot be read: {error.strerror}") from error


def _with_path_first(message: str) -> str:
    """Turn `what - at `$.path`` into `path: what`."""
    what, _, place = message.partition(" - at `")
    path = place.removesuffix("`").removeprefix("$").removeprefix(".")
    return f"{path}: {what}" if path else what

"""HTTP as Go's client reads a response: from raw bytes to a status and a body that ends well or not."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/(\d)\.(\d) (\d{3})(?: .*)?\Z")
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?\Z")
_MOST_INTERIM = 5


class TransportError(Exception):
    """Go's client returns an error instead of a response."""


@dataclass(frozen=True, slots=True)
class Body:
    """What could be read of a body; ``whole`` says that it then ended well (``io.EOF``)."""

    data: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class Response:
    """One response. ``headers`` are lower case, each with all of its values."""

    status: int
    headers: dict[bytes, list[bytes]]
    body: Body


def read_response(raw: bytes) -> Response:
    """The final response in what a server sent before it closed the connection.

    Raises:
        TransportError: there is none.
    """
    for _ in range(_MOST_INTERIM + 1):
        version, status, headers, raw = _head(raw)
        if 100 <= status < 200 and status != 101:
            continue
        return Response(status, headers, _decoded(_framed(raw, version, status, headers), headers))
    raise TransportError("too many 1xx informational responses")


def _head(raw: bytes) -> tuple[tuple[int, int], int, dict[bytes, list[bytes]], bytes]:
    line, raw = _line(raw)
    match = _STATUS_LINE.match(line)
    if match is None:
        raise TransportError("malformed HTTP response")
    headers: dict[bytes, list[bytes]] = {}
    while True:
        line, raw = _line(raw)
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.match(name):
            raise TransportError("malformed MIME header")
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return (int(match[1]), int(match[2])), int(match[3]), headers, raw


def _line(raw: bytes) -> tuple[bytes, bytes]:
    line, end, rest = raw.partition(b"\n")
    if not end:
        raise TransportError("unexpected EOF")
    return line.removesuffix(b"\r"), rest


def _framed(raw: bytes, version: tuple[int, int], status: int, headers: dict[bytes, list[bytes]]) -> Body:
    if status in (204, 304):
        return Body(b"", whole=True)
    encodings = headers.get(b"transfer-encoding", []) if version >= (1, 1) else []
    if encodings:
        if len(encodings) > 1 or encodings[0].lower() != b"chunked":
            raise TransportError("unsupported transfer encoding")
        return _chunked(raw)
    lengths = set(headers.get(b"content-length", []))
    if not lengths:
        return Body(raw, whole=True)
    if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
        raise TransportError("bad Content-Length")
    wanted = int(length)
    return Body(raw[:wanted], whole=len(raw) >= wanted)


def _chunked(raw: bytes) -> Body:
    data = b""
    while True:
        line, end, rest = raw.partition(b"\n")
        size = _CHUNK_SIZE.match(line.removesuffix(b"\r"))
        if not end or size is None:
            return Body(data, whole=False)
        wanted = int(size[1], 16)
        if not wanted:
            return Body(data, whole=rest.startswith(b"\r\n") or b"\r\n\r\n" in rest)
        data += rest[:wanted]
        if rest[wanted : wanted + 2] != b"\r\n":
            return Body(data, whole=False)
        raw = rest[wanted + 2 :]


def _decoded(body: Body, headers: dict[bytes, list[bytes]]) -> Body:
    encodings = headers.get(b"content-encoding", [b""])
    lengths = headers.get(b"content-length", [])
    # Go's transport asked for gzip by itself, so it unpacks by itself; but not what has no body at all.
    if encodings[0].lower() != b"gzip" or lengths[:1] == [b"0"] or (not body.data and body.whole):
        return body
    unpacked, packed = b"", body.data
    while packed:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            unpacked += unpacker.decompress(packed)
        except zlib.error:
            return Body(unpacked, whole=False)
        if not unpacker.eof:
            return Body(unpacked, whole=False)
        packed = unpacker.unused_data
    return Body(unpacked, whole=body.whole)

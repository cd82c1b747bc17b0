"""JSON as Go's ``encoding/json`` reads it: the first value of a stream, whatever follows it.

Written from Go's documentation and behaviour, not from the hub's code: it is what the hub is measured against.
"""

from __future__ import annotations

import re
from codecs import register_error
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_DEPTH = 10_000

_TOKEN = re.compile(
    rb"[ \t\n\r]*+(?:"
    rb"(?P<mark>[{}\[\],:])|"
    rb'"(?P<text>(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"|'
    rb"(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)|"
    rb"(?P<word>true|false|null))"
)
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {b"true": True, b"false": False, b"null": None}
_SPACE = b" \t\n\r"
_REPLACEMENT = "�"


class JsonError(Exception):
    """Go would return an error; the text says which kind."""


class Ended(JsonError):
    """``io.EOF``: there was nothing but white space. Argo CD takes it for success."""


class Overflow(Enum):
    """A number that no float64 holds: an error where it is decoded, and nothing where it is skipped."""

    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object whose keys, repeated ones included, still have to be told apart."""

    items: list[tuple[str, Any]]


def _one_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _REPLACEMENT, error.start + 1


# Go replaces each byte that is no UTF-8; Python would replace as many as belong together.
register_error("go-utf8", _one_byte)


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "go-utf8")
    if "\\" not in text:
        return text
    made = _ESCAPE.sub(lambda found: _PLAIN[found[2]] if found[2] else chr(int(found[1], 16)), text)
    # Two escapes may be one character; a half alone is replaced.
    return made.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _number(raw: bytes) -> float | Overflow:
    value = float(raw)
    return Overflow.NUMBER if value in (float("inf"), float("-inf")) else value


def first_value(data: bytes, *, whole: bool) -> Any:
    """The first JSON value of a stream.

    Numbers are floats or ``Overflow``; objects on the two outer levels are ``Pairs``, deeper ones dicts.

    Args:
        data: what could be read.
        whole: whether the stream ended well after it, rather than by an error.

    Raises:
        Ended: the stream ended well, with nothing in it.
        JsonError: there is no complete value.
    """
    if not data.strip(_SPACE):
        raise Ended if whole else JsonError("the stream broke off")
    match = _token(data, 0)
    if match.lastgroup == "mark":
        return _Reader(data).read()
    if match.end() == len(data) and not whole:
        raise JsonError("the stream broke off")
    return _scalar(match)


def _token(data: bytes, at: int) -> re.Match[bytes]:
    match = _TOKEN.match(data, at)
    if match is None:
        raise JsonError("invalid character, or unexpected end")
    return match


def _scalar(match: re.Match[bytes]) -> Any:
    if match.lastgroup == "text":
        return _text(match["text"])
    if match.lastgroup == "number":
        return _number(match["number"])
    return _WORDS[match["word"]]


class _Reader:
    """Reads one object or array, without recursion: Go allows ten thousand levels."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._open: list[tuple[Any, bool]] = []  # Containers, and whether each is an object.
        self._keys: list[str] = []

    def read(self) -> Any:
        root = self._begin(self._next())
        if root is None:
            raise JsonError("invalid character")
        first = True
        while self._open:
            container, is_object = self._open[-1]
            match = self._next()
            mark = match["mark"]
            if mark == (b"}" if is_object else b"]") and (first or not self._after_comma):
                self._open.pop()
                first = False
                self._after_comma = False
                continue
            if not first and not self._after_comma:
                if mark != b",":
                    raise JsonError("invalid character")
                self._after_comma = True
                continue
            first = self._member(container, match, is_object=is_object)
        return root

    _after_comma = False

    def _next(self) -> re.Match[bytes]:
        match = _token(self._data, self._at)
        self._at = match.end()
        return match

    def _member(self, container: Any, match: re.Match[bytes], *, is_object: bool) -> bool:
        """Take one member; true if it is a container that was opened and is still empty."""
        key = ""
        if is_object:
            if match.lastgroup != "text" or self._next()["mark"] != b":":
                raise JsonError("invalid character")
            key = _text(match["text"])
            match = self._next()
        self._after_comma = False
        if match.lastgroup != "mark":
            _put(container, key, _scalar(match))
            return False
        inner = self._begin(match)
        if inner is None:
            raise JsonError("invalid character")
        _put(container, key, inner)
        return True

    def _begin(self, match: re.Match[bytes]) -> Any:
        mark = match["mark"]
        if mark not in (b"{", b"["):
            return None
        if len(self._open) >= MAX_DEPTH:
            raise JsonError("exceeded max depth")
        made: Any = [] if mark == b"[" else Pairs([]) if len(self._open) < 2 else {}
        self._open.append((made, mark == b"{"))
        return made


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, list):
        container.append(value)
    elif isinstance(container, Pairs):
        container.items.append((key, value))
    else:
        container[key] = value


def holds_overflow(value: Any) -> bool:
    """Whether a number that no float64 holds is anywhere in a value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one is Overflow.NUMBER:
            return True
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, Pairs):
            waiting.extend(inner for _, inner in one.items)
    return False

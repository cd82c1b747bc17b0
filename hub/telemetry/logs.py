"""Logs: one event a line, JSON for machines, or columns for a person at a terminal."""

from __future__ import annotations

import asyncio
import atexit
import json
import sys
import time
from contextlib import suppress
from io import TextIOBase
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, cast

import msgspec
import structlog

from hub.core.texts import plain, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

Format = Literal["auto", "json", "human"]

MAX_LINE_CHARS = 16 * 1024
"""A longer line has its fields cut: what collects logs splits or drops lines of more (container runtimes: 16 KiB)."""

_MAX_FIELD_CHARS = 2048

_LEVELS = ("debug", "info", "warning", "error")

_encode = msgspec.json.Encoder().encode


class Log(Protocol):
    """Where lines go: a constant event, and its fields."""

    def debug(self, event: str, **fields: Any) -> object:
        """A detail that only matters while something is being investigated."""
        ...

    def info(self, event: str, **fields: Any) -> object:
        """Something happened as it should."""
        ...

    def warning(self, event: str, **fields: Any) -> object:
        """Somebody may want to do something about it."""
        ...

    def error(self, event: str, **fields: Any) -> object:
        """Somebody should."""
        ...


def logger(format_: Format, level: str, stream: TextIO = sys.stderr) -> Log:
    """The one log of a process; ``auto`` is for a person when the stream is a terminal."""
    together = _TogetherWritten(stream)
    for_a_person = format_ == "human" or (format_ == "auto" and stream.isatty())
    return _human(together, level, colors=stream.isatty()) if for_a_person else JsonLog(together.write, level)


def _human(stream: TextIOBase, level: str, *, colors: bool) -> Log:
    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", stream)),
        wrapper_class=structlog.make_filtering_bound_logger(level.upper()),
        processors=[
            _harmless,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24),
        ],
    ).bind()  # Bound once: the lazy proxy would bind anew for each line.
    return log


class JsonLog:
    """Each event as one line of JSON: when, how loud and what first, then its fields.

    There is a line for each request, so nothing stands between it and the encoder, and the text of a second is made
    once a second.
    """

    def __init__(self, write: Callable[[str], object], level: str) -> None:
        self._write = write
        self._least = _LEVELS.index(level.lower())
        self._second = 0
        self._text = ""

    def debug(self, event: str, **fields: Any) -> None:
        """A detail that only matters while something is being investigated."""
        self._say(0, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._say(1, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Somebody may want to do something about it."""
        self._say(2, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody should."""
        self._say(3, event, fields)

    def _say(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self._least:
            return
        now_s = time.time()
        second = int(now_s)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        timestamp = f"{self._text}.{int((now_s - second) * 1000):03d}Z"
        line = {"timestamp": timestamp, "level": _LEVELS[level], "event": event, **fields}
        try:
            text = _encode(line).decode()
        except (UnicodeError, TypeError):
            # Half of a surrogate pair, from a file name for instance; a line is never lost because of what is in it.
            text = json.dumps(line, default=repr)
        if len(text) > MAX_LINE_CHARS:
            text = json.dumps({name: _bounded(value) for name, value in line.items()}, ensure_ascii=False)
        self._write(text + "\n")


def _bounded(value: Any) -> Any:
    """A field of a line that is too long: its middle is cut out."""
    if isinstance(value, bool | int | float | None):
        return value
    return shortened(value if isinstance(value, str) else json.dumps(value, default=repr), _MAX_FIELD_CHARS)


def _harmless(_log: object, _level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text that a terminal would obey, or that would fill it, as what it looks like."""
    return {
        name: plain(shortened(value, _MAX_FIELD_CHARS), _MAX_FIELD_CHARS) if isinstance(value, str) else value
        for name, value in fields.items()
    }


class _TogetherWritten(TextIOBase):
    """A stream whose lines of one turn of the loop are written together: under load one system call for many."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        atexit.register(self._write_out)

    def write(self, line: str) -> int:
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._write_out)
            except RuntimeError:
                self._write_out()
        return len(line)

    def flush(self) -> None:
        """Nothing: that is the point."""

    def _write_out(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._stream.closed:
            return
        # A full disk or a reader that has gone: there is nowhere left to say so, and it must not stop the hub.
        with suppress(OSError, ValueError):
            self._stream.write("".join(lines))
            self._stream.flush()

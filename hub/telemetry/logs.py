"""Logs: one event a line, JSON for machines, or columns for a person at a terminal."""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
from io import TextIOBase
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

import msgspec
import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Format = Literal["auto", "json", "human"]

_encode = msgspec.json.Encoder().encode


def logger(format_: Format, level: str, stream: TextIO = sys.stderr) -> FilteringBoundLogger:
    """The one logger of a process; ``auto`` is for a person when the stream is a terminal."""
    for_a_person = format_ == "human" or (format_ == "auto" and stream.isatty())
    processors: list[Any] = [_JsonLines()]
    if for_a_person:
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24),
        ]
    _quieten_libraries()
    bound: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", _TogetherWritten(stream))),
        wrapper_class=structlog.make_filtering_bound_logger(level.upper()),
        processors=processors,
    ).bind()  # Bound once: the lazy proxy would bind anew for each line.
    return bound


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
        self._stream.write("".join(lines))
        self._stream.flush()


class _JsonLines:
    """Renders an event as one line of JSON: when, how loud and what first, then its fields.

    The text of a second is made once a second: a line for each request has to cost little.
    """

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self, _: Any, level: str, event: dict[str, Any]) -> str:
        now_s = time.time()
        second = int(now_s)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        timestamp = f"{self._text}.{int((now_s - second) * 1000):03d}Z"
        return _encode({"timestamp": timestamp, "level": level, **event}).decode()


def _quieten_libraries() -> None:
    # Their warnings are ours to say, as events; for a bad request they would add a trace and the caller's bytes.
    for name in ("aiohttp.server", "asyncio", "grpc", "watchfiles"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

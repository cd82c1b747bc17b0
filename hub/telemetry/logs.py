"""Logs: one event a line, JSON for machines, or columns for a person at a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Format = Literal["auto", "json", "human"]

_encode = msgspec.json.Encoder().encode


def logger(format_: Format, level: str, stream: TextIO = sys.stderr) -> FilteringBoundLogger:
    """The one logger of a process; ``auto`` is for a person when the stream is a terminal."""
    for_a_person = format_ == "human" or (format_ == "auto" and stream.isatty())
    processors: list[Any] = [structlog.processors.add_log_level]
    if for_a_person:
        processors += [
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24),
        ]
    else:
        processors += [structlog.processors.TimeStamper(fmt="iso", utc=True), _render_json]
    _quieten_libraries()
    bound: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        wrapper_class=structlog.make_filtering_bound_logger(level.upper()),
        processors=processors,
    )
    return bound


def _render_json(_: Any, __: str, event: dict[str, Any]) -> str:
    return _encode(event).decode()


def _quieten_libraries() -> None:
    # Their warnings are ours to say, as events; for a bad request they would add a trace and the caller's bytes.
    for name in ("aiohttp.server", "asyncio", "grpc", "watchfiles"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

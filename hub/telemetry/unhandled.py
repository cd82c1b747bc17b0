"""What nobody handled, and what libraries log: all of it becomes events, so that it is in the one log of the process.

A traceback printed to standard error is no line of JSON, and a failed callback of the loop would otherwise be seen by
nobody at all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from hub.core.events import InternalFault, LibraryMessage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from hub.service.ports import Events

_REPEATED_WITHIN_S = 10.0
_KEPT_REPEATS = 200

# What they say of a request is an event already; for a bad one they would add a traceback and the caller's bytes.
_QUIET = ("aiohttp.server", "grpc", "watchfiles")


@contextmanager
def reported(events: Events) -> Iterator[None]:
    """Report everything unhandled of this process and of the running loop, until the context ends."""
    hooks = _Hooks(events)
    with ExitStack() as stack:
        loop = asyncio.get_running_loop()
        stack.callback(loop.set_exception_handler, loop.get_exception_handler())
        loop.set_exception_handler(hooks.in_loop)
        for owner, name, hook in (
            (sys, "excepthook", hooks.in_process),
            (threading, "excepthook", hooks.in_thread),
            (sys, "unraisablehook", hooks.unraisable),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, hook)
        stack.enter_context(_libraries_logged(events))
        yield


@contextmanager
def _libraries_logged(events: Events) -> Iterator[None]:
    """Send what libraries log, and Python's warnings, to ``events``."""
    root, handler = logging.getLogger(), _Handler(events)
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, _QUIET))]
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)


class _Hooks:
    """Makes events of what Python tells its hooks."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._said_at_s: dict[tuple[str, str], float] = {}

    def in_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback failed, a task failed that nobody awaits, or a transport broke in an unforeseen way."""
        error = context.get("exception")
        where = f"event loop: {context.get('message', 'unhandled')}"
        if isinstance(error, BaseException):
            self._tell(where, type(error), error, error.__traceback__)
        elif self._is_new(where, ""):
            self._events.emit(LibraryMessage(library="asyncio", level="error", message=where))

    def in_process(self, kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
        """The process ends of it."""
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, tb)
            return
        self._tell("the process ends", kind, error, tb)

    def in_thread(self, args: threading.ExceptHookArgs) -> None:
        """A thread ended of it."""
        name = "unknown" if args.thread is None else args.thread.name
        self._tell(f"thread {name}", args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(self, args: Any) -> None:
        """Where nothing can be raised: in a destructor, or in a callback of C."""
        name = getattr(args.object, "__qualname__", type(args.object).__name__)
        where = f"{args.err_msg or 'exception ignored in'}: {name}"
        self._tell(where, args.exc_type, args.exc_value, args.exc_traceback)

    def _tell(
        self, where: str, kind: type[BaseException], error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._is_new(where, kind.__name__):
            text = "".join(traceback.format_exception(kind, error, tb))
            self._events.emit(InternalFault(where=where, request_id="", traceback=text))

    def _is_new(self, where: str, kind: str) -> bool:
        """Whether the same was not reported a moment ago: a full table of file descriptors fails at every accept."""
        now_s = time.monotonic()
        before_s = self._said_at_s.get((where, kind))
        if before_s is not None and now_s - before_s < _REPEATED_WITHIN_S:
            return False
        if len(self._said_at_s) >= _KEPT_REPEATS:
            self._said_at_s.clear()
        self._said_at_s[where, kind] = now_s
        return True


class _Handler(logging.Handler):
    """Takes the records of Python's own logging."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on."""
        text = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._events.emit(
            LibraryMessage(
                library=record.name, level=_level(record.levelno), message=record.getMessage().strip(), traceback=text
            )
        )


def _level(number: int) -> Literal["debug", "info", "warning", "error"]:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"

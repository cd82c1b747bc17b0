"""Standard error of this process: the hub's log keeps it, and lines of anyone else become events of that log.

C libraries write there what they like, and some of it comes from peers: gRPC prints the text with which a peer ends a
connection. Whoever may choose that text could forge a line of the log.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import os
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hub.core.events import LibraryMessage
from hub.core.texts import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from hub.service.ports import Events

_STDERR = 2
_READ_BYTES = 64 * 1024
_PIPE_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 1000
_MAX_LINES = 20  # In a second; what is more is counted.
_WINDOW_S = 1.0
_END_S = 1.0


@contextmanager
def own_stderr() -> Iterator[OwnStderr]:
    """Take standard error away from everyone else while the context lasts."""
    own = OwnStderr()
    try:
        yield own
    finally:
        own.close()


class OwnStderr:
    """``stream`` is where standard error was; what others write to it is read from a pipe, and told as events."""

    def __init__(self) -> None:
        self._before = os.dup(_STDERR)
        self.stream: TextIO = os.fdopen(os.dup(_STDERR), "w", encoding="utf-8", errors="backslashreplace")
        # Where the process crashes, no thread reads a pipe any more.
        faulthandler.enable(self.stream)
        self._reading, writing = os.pipe()
        with suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        # Whoever writes more than is read loses it, rather than to wait for a thread that may wait for the writer.
        os.set_blocking(writing, False)
        os.dup2(writing, _STDERR)
        os.close(writing)
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._lost = 0
        self._window_s = 0.0
        self._told = 0
        self._events: Events | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._read, name="stderr", daemon=True)
        self._thread.start()

    def tell(self, events: Events) -> None:
        """Report lines here from now on, also those that have come already."""
        self._events, self._loop = events, asyncio.get_running_loop()
        self._report()

    def close(self) -> None:
        """Give standard error back."""
        os.dup2(self._before, _STDERR)
        self._thread.join(_END_S)
        self._loop = None
        self._report()
        faulthandler.disable()
        os.close(self._before)
        with suppress(OSError):
            self.stream.flush()

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._reading, _READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[:_MAX_LINE_BYTES]
            self._take(lines)
        self._take([rest])
        os.close(self._reading)

    def _take(self, lines: list[bytes]) -> None:
        written = [line for line in lines if line.strip()]
        self._lost += max(0, len(written) - _MAX_LINES)
        self._lines.extend(
            plain(line[:_MAX_LINE_BYTES].decode("utf-8", "backslashreplace")) for line in written[:_MAX_LINES]
        )
        loop = self._loop
        if written and loop is not None:
            with suppress(RuntimeError):  # It has ended; what is left is reported when this is closed.
                loop.call_soon_threadsafe(self._report)

    def _report(self) -> None:
        if self._events is None:
            return
        now_s = time.monotonic()
        if now_s - self._window_s >= _WINDOW_S:
            self._window_s, self._told = now_s, 0
            if self._lost:
                lost, self._lost = self._lost, 0
                self._say(f"{lost} more lines were written to standard error")
        while self._lines:
            line = self._lines.popleft()
            if self._told < _MAX_LINES:
                self._told += 1
                self._say(line)
            else:
                self._lost += 1

    def _say(self, message: str) -> None:
        if self._events is not None:
            self._events.emit(LibraryMessage(library="standard error", level="warning", message=message))

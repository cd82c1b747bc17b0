"""Processes on loopback: started with a log of their own, awaited, and ended by their id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

HERE = Path(__file__).parent

_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 10.0
_LOG_TAIL_CHARS = 1500


class Failed(Exception):
    """Something did not start, or did not do what it is for; the text says what."""


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as one:
        one.settimeout(0.5)
        return one.connect_ex(("127.0.0.1", port)) == 0


def environment() -> dict[str, str]:
    """For the programs of this folder, which import its modules."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


class Fleet:
    """Processes that end with a block, the last one first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, command: Sequence[str | Path], more: Mapping[str, str] | None = None) -> int:
        """Start a process in a session of its own, with ``more`` in its environment; returns its id."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env={**environment(), **(more or {})},
            )
        self._started.append((name, process))
        return process.pid

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.folder / f"{name}.log"

    def wait(self, what: str, check: Callable[[], bool], *, limit_s: float = _START_LIMIT_S) -> None:
        """Wait until something is so.

        Raises:
            Failed: it is not so in time, or a process has ended.
        """
        end_s = time.monotonic() + limit_s
        while not check():
            for name, process in self._started:
                if process.poll() is not None:
                    raise Failed(f"{name} ended with {process.returncode}: {self._tail(name)}")
            if time.monotonic() > end_s:
                raise Failed(f"not in {limit_s:g} s: {what}")
            time.sleep(0.02)

    def _tail(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-_LOG_TAIL_CHARS:].strip()

    def end(self, pid: int) -> None:
        """End one process now."""
        for one in [one for one in self._started if one[1].pid == pid]:
            self._started.remove(one)
            _end(one[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for _, process in reversed(self._started):
            if process.poll() is None:
                # Not SIGTERM: on that a hub goes on serving for a while.
                process.send_signal(signal.SIGINT)
        for _, process in reversed(self._started):
            _end(process)
        self._started.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

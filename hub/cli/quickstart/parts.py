"""The processes of a quick start: started, shown side by side, and ended together.

They end with this process, however it ends: Ctrl-C, SIGTERM, a closed terminal, a closed pipe, SIGKILL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from hub.cli.quickstart.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_LOOK_S = 0.1
_LEASH = Path(__file__).with_name("leash.py")


class Broken(Exception):
    """The quick start cannot go on; the text says why, on one line."""


class Part:
    """One process, in a session of its own, so that Ctrl-C reaches only this process."""

    def __init__(self, name: str, command: list[str], screen: Screen) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe.
        self._showing = threading.Thread(target=self._show, args=(self._process.stdout, screen), daemon=True)
        self._showing.start()

    def _show(self, lines: IO[str], screen: Screen) -> None:
        for line in lines:
            screen.line(self.name, line.rstrip("\n"))

    @property
    def ending(self) -> str | None:
        """How it ended, or ``None`` while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def ask_to_end(self) -> None:
        """As Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it now, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended and its last line is shown; kill it if that takes too long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT_S)
        self.kill()
        self._process.wait()
        self._showing.join(_STOP_LIMIT_S)


class Parts:
    """All of them. Its context takes over the signals that end a program."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._screen = Screen(lost=self._stop.set)
        self._parts: list[Part] = []
        self._gone: set[Part] = set()
        self._ready = False

    def __enter__(self) -> Self:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(one) is not signal.SIG_IGN:  # Under nohup it goes on without its terminal.
                signal.signal(one, self._signalled)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    def _signalled(self, *_: object) -> None:
        if self._stop.is_set():  # The second time: do not wait.
            for part in self._parts:
                part.kill()
        self._stop.set()

    def ready(self, text: str) -> None:
        """Print what can be done now, unless it is stopping."""
        if not self._stop.is_set():
            self._ready = True
            self._screen.text(text)

    def start(self, name: str, *command: object) -> Part:
        """Start one more, and show its lines under its name."""
        part = Part(name, [str(word) for word in command], self._screen)
        self._parts.append(part)
        return part

    def wait_until(self, reached: Callable[[], bool], otherwise: str) -> bool:
        """Wait for something that needs all parts; false if it was asked to stop first.

        Raises:
            Broken: a part has ended, or it took too long.
        """
        for _ in range(int(_START_LIMIT_S / _LOOK_S)):
            if self._stop.wait(_LOOK_S):
                return False
            for part in self._parts:
                if part.ending is not None:
                    raise Broken(f'"{part.name}" ended while it started ({part.ending}); its lines above say why')
            if reached():
                return True
        raise Broken(f"{otherwise} after {_START_LIMIT_S:.0f} s; see the lines above")

    def wait_for(self, hub: Part) -> None:
        """Wait until it was asked to stop. A backend may end, so that one can see what the hub then says.

        Raises:
            Broken: the hub has ended.
        """
        while not self._stop.wait(_LOOK_S):
            for part in self._parts:
                if part.ending is not None and part not in self._gone:
                    self._gone.add(part)
                    self._screen.line(part.name, f"ended ({part.ending})")
            if hub in self._gone:
                raise Broken(f'"{hub.name}" ended ({hub.ending}); everything was stopped')

    def end(self) -> None:
        """End all of them, side by side."""
        running = [part for part in self._parts if part.ending is None]
        for part in running:
            # A Python that is still starting would answer Ctrl-C with a traceback, and has nothing to finish.
            (part.ask_to_end if self._ready else part.kill)()
        for part in self._parts:
            part.wait()
        for part in running:
            self._screen.line(part.name, "ended")

"""The processes of a test: started, listened to, and ended by their own pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMANDS = Path(sys.executable).parent
PATIENCE_S = 25.0
"""How long anything may take that has to happen at all; what has to be quick is measured."""


class Process:
    """A command whose lines can be waited for; its standard output and error are one."""

    def __init__(self, *command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.command = [str(part) for part in command]
        self._popen = subprocess.Popen(
            self.command,
            cwd=cwd,
            env={**without_settings(), "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._changed = threading.Condition()
        self._ended = False
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def mark(self) -> int:
        """How much it has said so far; what is waited for ``after`` a mark has to be newer."""
        return len(self.lines)

    def line(self, fits: Callable[[str], bool], what: str, *, after: int = 0) -> str:
        """Wait for a line."""
        until_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                found = next((line for line in self.lines[after:] if fits(line)), None)
                if found is not None:
                    return found
                left_s = until_s - time.monotonic()
                if self._ended or left_s <= 0:
                    why = "ended" if self._ended else "is silent"
                    raise AssertionError(f"{self.command} {why} before it said {what}:\n{self.output}")
                self._changed.wait(left_s)

    def says(self, text: str, *, after: int = 0) -> str:
        """Wait for a line with this text in it."""
        return self.line(lambda line: text in line, f'"{text}"', after=after)

    def event(self, name: str, /, *, after: int = 0, **fields: object) -> dict[str, Any]:
        """Wait for a JSON line with this event and these fields."""
        wanted = {"event": name, **fields}
        return json_of(self.line(lambda line: wanted.items() <= json_of(line).items(), str(wanted), after=after))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines with this event, so far."""
        return [found for found in map(json_of, self.lines) if found.get("event") == name]

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it without a word, and wait until it is gone."""
        self._popen.kill()
        self.wait()

    def stop(self) -> int:
        """Ask it to end, and wait for its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its exit code, and for its last line."""
        code = self._popen.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive:
            self._popen.kill()
        self.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()


def run(*command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end, standard output and error apart."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**without_settings(), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Finished:
    """A command that has ended: its exit code and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"

    @property
    def json(self) -> Any:
        """What is on standard output, as JSON."""
        return json.loads(self.out)


def without_settings() -> dict[str, str]:
    """The environment of this process, without what would change a hub's configuration."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HUB")}


def json_of(line: str) -> dict[str, Any]:
    """The JSON object in a line, or an empty one."""
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def seconds_here(seconds: float) -> float:
    """So many seconds of a machine that has the time; more of them where others wait for its processors too."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def until(holds: Callable[[], object], what: str) -> None:
    """Look again and again until something holds."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, f"it did not happen: {what}"
        time.sleep(0.02)  # Between two looks at a condition, not instead of one.

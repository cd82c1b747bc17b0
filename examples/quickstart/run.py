"""A hub and two backends in front of you: ``make run``. Ctrl-C ends all of it.

Each part is a process of its own, started with the command that anybody would use; this script only starts them, shows
what they say, and ends them together.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
COMMANDS = Path(sys.executable).parent

PARTS = {
    "hub": ["appset-hub", "serve", "--config", "hub.yaml", "--log-format", "human"],
    "hello": [
        *("appset-hub-backend", "static", "--name", "hello", "--config", "hello.yaml"),
        *("--hub", "127.0.0.1:4356", "--token-file", "hello.token"),
    ],
    "digests": [
        *("appset-hub-backend", "static", "--name", "digests", "--config", "digests.yaml"),
        *("--listen", "127.0.0.1:50051"),
    ],
}
COLOURS = {"hub": 36, "hello": 32, "digests": 35}
START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0

TRY = """
The hub is there. In another terminal:

  curl http://localhost:4355/api/v1/getparams.execute -H "Authorization: Bearer strong-password" -d \\
    '{"applicationSetName": "fake-appset", "input": {"parameters": {"param1": "value1"}}}'

  curl http://localhost:4355/api/v1/getparams.execute -H "Authorization: Bearer strong-password" -d \\
    '{"applicationSetName": "fb-matrix", "input": {"parameters": {"branch": "feature-branch-1"}}}'

  .venv/bin/appset-hub backends list --config examples/quickstart/hub.yaml
  .venv/bin/appset-hub explain fb-matrix --config examples/quickstart/hub.yaml
  curl http://localhost:4357/metrics

Ctrl-C ends all of it.
"""


def main() -> int:
    """Run all parts until the hub ends or somebody says stop."""
    (HERE / ".cache").mkdir(exist_ok=True)
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    processes = {name: start(name, command, stop) for name, command in PARTS.items()}
    try:
        if wait_until_all_answer(stop):
            print(TRY, flush=True)
        stop.wait()
    finally:
        end(processes)
    return abs(processes["hub"].returncode)


def start(name: str, command: list[str], stop: threading.Event) -> subprocess.Popen[str]:
    """Start one part in a session of its own, so that Ctrl-C reaches only this script."""
    process = subprocess.Popen(
        [COMMANDS / command[0], *command[1:]],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    threading.Thread(target=show, args=(name, process.stdout, stop), daemon=True).start()
    return process


def show(name: str, lines: IO[str], stop: threading.Event) -> None:
    """Print a part's lines under its name; when the hub ends, all end. Kill a backend, and see what the hub says."""
    label = f"{name:>8} │ "
    if sys.stdout.isatty():
        label = f"\033[{COLOURS[name]}m{label}\033[0m"
    for line in lines:
        print(label + line, end="", flush=True)
    print(f"{label}ended", flush=True)
    if name == "hub":
        stop.set()


def wait_until_all_answer(stop: threading.Event) -> bool:
    """Whether the hub has both backends, before it is time to give up."""
    for _ in range(int(START_LIMIT_S / 0.2)):
        if stop.wait(0.2):
            return False
        try:
            with urllib.request.urlopen("http://127.0.0.1:4357/api/backends", timeout=2) as response:
                if all(backend["state"] == "ready" for backend in json.load(response)):
                    return True
        except OSError:
            continue
    return True


def end(processes: dict[str, subprocess.Popen[str]]) -> None:
    """End the hub last but one after the other asks, and all of them for sure."""
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes.values():
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

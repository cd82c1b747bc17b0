"""Where a scenario plays: a hub of some version, backends that answer what they are told to, and one client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from load import TOKEN
from processes import Failed, Fleet, free_port, listens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

from hub_site import SERVED, get

_LONGEST_REPLY_S = 60
_COMMAND_LIMIT_S = 30
_POLL_S = 0.1

OK = 200
STORE = "sqlite:./hub.db"

Sets = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the client got. ``status`` is 0 if there was no HTTP reply."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    took_s: float

    @property
    def message(self) -> str:
        """The message of an error."""
        return str(self.body.get("message", ""))

    @property
    def count(self) -> int:
        """How many sets there are."""
        return len(self.body["output"]["parameters"]) if self.status == OK else 0

    def __str__(self) -> str:
        if self.status == OK:
            return f"200 with {self.count} set{'' if self.count == 1 else 's'}"
        return f"{self.status} {self.body.get('error', '')}".strip()


def post(port: int, name: str, *, parameters: Mapping[str, Any] | None = None, namespace: str = "") -> Reply:
    """Ask as Argo CD does."""
    question: dict[str, Any] = {"applicationSetName": name, "input": {"parameters": dict(parameters or {})}}
    if namespace:
        question["applicationSetNamespace"] = namespace
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/getparams.execute",
        json.dumps(question).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    started_s = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=_LONGEST_REPLY_S) as response:
            status, headers, body = response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        status, headers, body = error.code, dict(error.headers), error.read()
    except OSError:
        status, headers, body = 0, {}, b"{}"
    return Reply(status=status, body=json.loads(body), headers=headers, took_s=time.monotonic() - started_s)


@dataclass(slots=True, kw_only=True)
class Scripted:
    """A backend that answers what it is told to."""

    stage: Stage
    name: str
    script: Path
    command: tuple[str | Path, ...]
    listens_at: int = 0
    pid: int = 0
    answers: dict[str, Any] = field(default_factory=dict)

    def says(self, sets: Sets, name: str = "*", **more: Any) -> None:
        """From now on, to questions of this name."""
        self.answers[name] = {"sets": sets, **more}
        written = self.script.with_suffix(".new")
        written.write_text(json.dumps(self.answers))
        written.replace(self.script)

    def start(self) -> None:
        """Start it, without a wait."""
        self.pid = self.stage.fleet.start(f"{self.name} {len(self.stage.started)}", self.command)
        self.stage.started.append(self.pid)

    def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        self.stage.fleet.end(self.pid)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def asked(self) -> list[float]:
        """When it was asked, on the monotonic clock."""
        journal = self.script.with_suffix(".journal")
        return [float(line.split()[-1]) for line in journal.read_text().splitlines()] if journal.exists() else []


class Stage:
    """One hub and all that belongs to it."""

    def __init__(self, fleet: Fleet, python: Path) -> None:
        self.fleet = fleet
        self.folder = fleet.folder
        self.python = python
        self.http, self.grpc, self.admin = free_port(), free_port(), free_port()
        self.pid = 0
        self.started: list[int] = []
        (self.folder / "argocd.token").write_text(TOKEN)

    def configure(self, **more: Any) -> None:
        """Write ``hub.yaml``: one client, and what a scenario adds."""
        ports = {"http": self.http, "grpc": self.grpc, "admin": self.admin}
        configuration = {
            "listen": {name: f"127.0.0.1:{port}" for name, port in ports.items()},
            "store": STORE,
            "clients": [{"name": "argocd", "tokens": [{"file": "argocd.token"}]}],
            **more,
        }
        # JSON is YAML.
        (self.folder / "hub.yaml").write_text(json.dumps(configuration))

    def knows(self) -> bool:
        """Whether this version takes the configuration; an earlier one does not know every key."""
        return self._run("config", "check", "--config", "hub.yaml").returncode == 0

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the hub, and wait until it listens."""
        command = (self.python.with_name("appset-hub"), "serve", "--config", self.folder / "hub.yaml")
        self.pid = self.fleet.start(f"hub {len(self.started)}", command, environment)
        self.started.append(self.pid)
        self.fleet.wait("the hub listens", lambda: listens(self.admin) and listens(self.grpc) and listens(self.http))

    def stop(self) -> None:
        """End the hub now."""
        os.kill(self.pid, signal.SIGKILL)
        self.fleet.end(self.pid)

    def backend(self, name: str, *, dialled_at: int = 0) -> Scripted:
        """A backend that has not been started; its token is in a file of its name."""
        token = self.folder / f"{name}.token"
        token.write_text(f"token-of-{name}")
        script = self.folder / f"{name}.json"
        where = ("--listen", f"127.0.0.1:{dialled_at}") if dialled_at else ("--hub", f"127.0.0.1:{self.grpc}")
        command = (self.python, SERVED / "scripted.py", name, "--script", script, "--token-file", token, *where)
        return Scripted(stage=self, name=name, script=script, command=command, listens_at=dialled_at)

    def ask(self, name: str, *, parameters: Mapping[str, Any] | None = None, namespace: str = "") -> Reply:
        """Ask once."""
        return post(self.http, name, parameters=parameters, namespace=namespace)

    def absent(self) -> list[str]:
        """The backends without an instance."""
        found: list[str] = json.loads(get(self.admin, "/readyz"))["absent_backends"]
        return found

    def wait_for_backends(self) -> None:
        """Wait until all are there."""
        self.fleet.wait("the backends are there", lambda: not self.absent())

    def seconds_until_absent(self, limit_s: float) -> float | None:
        """How long it takes until the hub knows that a backend is gone; ``None`` if it does not in time."""
        started_s = time.monotonic()
        while time.monotonic() - started_s < limit_s:
            if self.absent():
                return time.monotonic() - started_s
            time.sleep(_POLL_S)
        return None

    def held_id(self) -> str:
        """The first answer that is held."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/api/held", timeout=10) as response:
            found = json.loads(response.read())
        entries: Sequence[Any] = found if isinstance(found, list) else found["held"]
        return str(entries[0]["id"])

    def accept(self, *options: str) -> bool:
        """Accept what is held; whether the command knew the options."""
        return self._run("accept", self.held_id(), "--admin", self._admin, *options).returncode == 0

    def init_store(self) -> None:
        """Start with an empty store, as an operator does."""
        self._run("store", "init", "--admin", self._admin)

    @property
    def _admin(self) -> str:
        return f"http://127.0.0.1:{self.admin}"

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                (self.python.with_name("appset-hub"), *arguments),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"appset-hub {arguments[0]} did not end") from error

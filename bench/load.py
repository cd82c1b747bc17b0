"""Load on one HTTP endpoint, from wrk: never from Python, which would compete with what is measured."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from processes import HERE, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "strong-password"

_GRACE_S = 30
_NEW_EACH_RUN = 10_000_000  # So many numbers are one run's own; a pool begins where it likes.

_runs = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked, and how hard.

    ``questions`` different ones are asked in turn in the mode ``pool``, each in flight once at most if they outnumber
    the connections; in the mode ``new`` none is ever asked twice.
    """

    sets: int
    connections: int
    change: bool = False
    mode: Literal["pool", "new"] = "pool"
    questions: int = 1000
    sleep_ms: int = 0
    own: bool = False

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the backends read; see ``answers``."""
        wanted = {"sets": str(self.sets)}
        if self.change:
            wanted["change"] = "yes"
        if self.sleep_ms:
            wanted["sleep_ms"] = str(self.sleep_ms)
        if self.own:
            wanted["own"] = "yes"
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to ask. ``name`` begins the name of every ApplicationSet, so that a route can be meant by it."""

    port: int
    path: str = "/api/v1/getparams.execute"
    name: str = "bench"

    @property
    def url(self) -> str:
        """The address of the whole call."""
        return f"http://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What wrk saw. ``failed`` are connections that broke or timed out, ``refused`` answers other than 200."""

    requests: int
    seconds: float
    bytes: int
    p50_us: float
    p99_us: float
    refused: int
    failed: int


def press(endpoint: Endpoint, load: Load, seconds: int) -> Figures:
    """Ask for so many seconds.

    Raises:
        Failed: wrk ended without figures.
    """
    parameters = "".join(f'"{key}":"{value}",' for key, value in load.parameters.items())
    command = [
        *("wrk", "--threads", "1", "--connections", str(load.connections), "--duration", f"{seconds}s"),
        *("--timeout", "30s", "--script", str(HERE / "load.lua"), endpoint.url, "--"),
        *(endpoint.path, TOKEN, endpoint.name, parameters, load.mode, str(load.questions)),
        str(next(_runs) * _NEW_EACH_RUN),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"wrk did not end {_GRACE_S} s after its time") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise Failed(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    return Figures(**json.loads(lines[-1]))

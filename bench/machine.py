"""On what was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from needs import Needs

_PACKAGES = ("appset-hub", "aiohttp", "grpcio", "msgspec", "prometheus-client", "protobuf", "structlog", "uvloop")


def describe(needs: Needs) -> dict[str, object]:
    """Cores, processor, kernel, and the version of everything that takes part."""
    tools = {"wrk": ["wrk", "--version"]}
    if needs.envoy:
        tools["envoy"] = [str(needs.envoy), "--version"]
    if needs.nginx:
        tools["nginx"] = [str(needs.nginx), "-v"]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "model": _model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "packages": {name: version(name) for name in _PACKAGES},
        "tools": {name: _first_line(command) for name, command in tools.items()},
    }


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")

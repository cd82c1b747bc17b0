"""The author of every scripted backend: does what the script orders.

A script is a JSON file, read anew for each question, so that a test changes it while the backend runs:
`{"do": ..., ...}`. This module knows no gRPC and no HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOR_EVER_S = 3600


class DiesWhenRead(dict[str, Any]):
    """A parameter set whose process ends while it is being written."""

    def items(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().items()

    def __iter__(self) -> Iterator[str]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__iter__()


def read_script(path: Path) -> dict[str, Any]:
    """Return the script as it is now."""
    script: dict[str, Any] = json.loads(path.read_text())
    return script


def act(script: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Return what the author's function returns, unless the script orders something worse."""
    time.sleep(script.get("after_s", 0))
    match script["do"]:
        case "answer":
            return chosen(script, parameters)
        case "echo":
            return [{"name": "echo", "got": json.dumps(parameters, sort_keys=True)}]
        case "value":
            return script["value"]
        case "python":
            return python_value(script["name"])
        case "big":
            return [{"name": f"big-{number}", "text": "x" * script["bytes"]} for number in range(script["count"])]
        case "raise":
            raise RuntimeError(script.get("text") or f"password=hunter2 at {time.time()}")
        case "hang":
            time.sleep(FOR_EVER_S)
        case "exit":
            os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError(f"the script orders {script['do']!r}, which this backend cannot do")


def chosen(script: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Return the sets, those of the input's value where the script tells them apart, or raise where it says so."""
    if "by" not in script:
        return script["sets"]
    answer = script["table"][str(parameters.get(script["by"]))]
    if answer == "raise":
        raise RuntimeError("this one fails")
    return answer


def python_value(name: str) -> Any:
    """Return one parameter set that JSON does not have, or that has a habit."""
    inner: Any = {
        "set": {"a", "b"},
        "bytes": b"x",
        "nan": float("nan"),
        "path": Path("x"),
        "number-keys": {1: "x"},
    }.get(name)
    if name == "dies-when-read":
        return [DiesWhenRead(name="x")]
    if name == "holds-itself":
        inner = []
        inner.append(inner)
    return [{"name": "x", "value": inner}]

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
            return spoiled(script["sets"], script["name"])
        case "big":
            return [{**one, "text": "x" * script["bytes"]} for one in script["sets"]]
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


def spoiled(sets: list[dict[str, Any]], how: str) -> list[dict[str, Any]]:
    """Return the sets, the last of them with a value that JSON does not have, or with a habit."""
    *others, last = sets
    if how == "dies-when-read":
        return [*others, DiesWhenRead(last)]
    if how == "number-keys":
        return [*others, {**last, 1: "x"}]  # type: ignore[dict-item]  # That is the fault.
    endless: list[Any] = []
    endless.append(endless)
    value = {"set": {"a", "b"}, "bytes": b"x", "nan": float("nan"), "path": Path("x"), "holds-itself": endless}[how]
    return [*others, {**last, "value": value}]

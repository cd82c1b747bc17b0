"""Whatever is written to standard error of the hub's process is a field of a line of its log, and never a line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import asyncio, ctypes, os, subprocess, sys
import uvloop
from prometheus_client import CollectorRegistry
from hub.telemetry.logs import logger
from hub.telemetry.metrics import Metrics
from hub.telemetry.stderr import own_stderr
from hub.telemetry.telemetry import Telemetry


async def main():
    with own_stderr() as own:
        log = logger("json", "debug", own.stream)
        own.tell(Telemetry(Metrics(CollectorRegistry(), "1"), log))
        {statement}
        log.info("still_there")


uvloop.run(main())
print("and after", file=sys.stderr)
"""


def run(statement: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{statement}", statement)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def logged(statement: str) -> list[dict[str, Any]]:
    code, lines = run(statement)
    assert code == 0
    assert lines[-1] == "and after", "standard error is given back"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize(
    ("statement", "messages"),
    [
        ("""os.write(2, b'{"event":"forged"}\\n'); await asyncio.sleep(0.1)""", ['{"event":"forged"}']),
        ("""os.write(2, b'one\\ntwo\\n'); await asyncio.sleep(0.1)""", ["one", "two"]),
        ("""os.write(2, b'no line break')""", ["no line break"]),
        ("""os.write(2, b'\\x1b[2J\\xff\\x00\\r\\n')""", ["\\x1b[2J\\xff\\x00\\r"]),
        ("""print("by Python", file=sys.stderr)""", ["by Python"]),
        ("""ctypes.CDLL(None).perror(b"by C")""", ["by C: "]),
        ("""subprocess.run(["sh", "-c", "echo by a child >&2"])""", ["by a child"]),
        ("""os.write(2, b'\\n \\n')""", []),
    ],
    ids=["forged", "lines", "no line break", "controls", "Python", "C", "a child", "nothing"],
)
def test_a_foreign_line_is_a_field_of_an_event(statement: str, messages: list[str]) -> None:
    lines = logged(statement)
    found = [line for line in lines if line["event"] != "still_there"]
    assert {line["event"] for line in found} <= {"library_message"}
    assert [line["library"] for line in found] == ["standard error"] * len(messages)
    for line, message in zip(found, messages, strict=True):
        assert line["message"].startswith(message)


def test_a_flood_is_counted_and_stops_no_one() -> None:
    lines = logged("os.write(2, (b'x' * 99 + b'\\n') * 5000); await asyncio.sleep(1.2); os.write(2, b'later\\n')")
    messages = [line["message"] for line in lines if line["event"] == "library_message"]
    assert len(messages) < 60
    assert any("more lines were written to standard error" in one for one in messages)
    assert messages[-1] == "later"


def test_one_long_line_is_cut() -> None:
    (line,) = (line for line in logged("os.write(2, b'x' * 300_000)") if line["event"] == "library_message")
    assert len(line["message"]) <= 1000


def test_a_crash_still_says_where() -> None:
    code, lines = run("ctypes.string_at(0)")
    assert code == -signal.SIGSEGV
    assert any("Segmentation fault" in line for line in lines)

"""What nobody handles, and what libraries and Python log, is in the log of the hub: in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
import uvloop
from prometheus_client import CollectorRegistry
from hub.telemetry.logs import logger
from hub.telemetry.metrics import Metrics
from hub.telemetry.telemetry import Telemetry
from hub.telemetry.unhandled import reported


def fail(*_):
    raise ValueError("surprise")


class Unraisable:
    def __del__(self):
        fail()


async def main():
    with reported(Telemetry(Metrics(CollectorRegistry(), "1"), logger("json", "debug"))):
        {statement}
        await asyncio.sleep(0.01)


uvloop.run(main())
"""


def lines_of(statement: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{statement}", statement)],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("asyncio.get_running_loop().call_soon(fail)", "event loop: "),
        ("asyncio.ensure_future(asyncio.to_thread(fail)); await asyncio.sleep(0.1); gc.collect()", "event loop: Task"),
        ("t = threading.Thread(target=fail, name='worker'); t.start(); t.join()", "thread worker"),
        ("Unraisable(); gc.collect()", "exception ignored in: Unraisable.__del__"),
        ("sys.excepthook(*(lambda e: (type(e), e, None))(ValueError('surprise')))", "the process ends"),
    ],
    ids=["a callback of the loop", "a task that nobody awaits", "a thread", "a destructor", "the process"],
)
def test_what_nobody_handles_is_one_line_of_the_log_with_its_traceback(statement: str, where: str) -> None:
    (line,) = lines_of(statement)
    assert (line["event"], line["level"]) == ("internal_fault", "error")
    assert line["where"].startswith(where)
    assert "ValueError: surprise" in line["traceback"]


@pytest.mark.parametrize(
    ("statement", "library", "level"),
    [
        ("logging.getLogger('asyncio').warning('slow %s', 1)", "asyncio", "warning"),
        ("logging.getLogger('asyncio').error('slow %s', 1)", "asyncio", "error"),
        ("warnings.warn('slow 1', RuntimeWarning)", "py.warnings", "warning"),
        ("logging.getLogger('anything').critical('slow 1')", "anything", "error"),
        ("asyncio.get_running_loop().call_exception_handler({'message': 'slow 1'})", "asyncio", "error"),
    ],
    ids=["a warning of asyncio", "an error of asyncio", "a warning of Python", "another library", "no exception"],
)
def test_what_libraries_log_is_one_line_of_the_log(statement: str, library: str, level: str) -> None:
    (line,) = lines_of(statement)
    assert (line["event"], line["library"], line["level"]) == ("library_message", library, level)
    assert "slow 1" in line["message"]


def test_the_same_failure_many_times_in_a_moment_is_one_line() -> None:
    statement = "[asyncio.get_running_loop().call_soon(fail) for _ in range(50)]"
    assert len(lines_of(statement)) == 1


def test_a_log_that_cannot_be_written_does_not_stop_the_loop() -> None:
    statement = "sys.stderr.close(); logging.getLogger('a').error('b'); await asyncio.sleep(0.01); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{statement}", statement)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )
    assert done.stdout == b"alive\n"


def test_a_text_that_is_not_unicode_is_still_a_line() -> None:
    (line,) = lines_of(r"logging.getLogger('a').error('half \ud800')")
    assert line["message"] == "half \ud800"

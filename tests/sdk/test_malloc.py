"""Whether large blocks of memory are kept for the next answer, as the kernel counts it: in pages handed out."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, resource, sys
from appset_hub import Backend, Connection, running
from appset_hub.malloc import expect_large_blocks

def answer():
    blocks = [bytes([65]) * 2_000_000 for _ in range(6)]

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "expecting":
    before = pages()
    expect_large_blocks()
    print(pages() - before)

def again():
    answer()
    before = pages()
    for _ in range(20):
        answer()
    print(pages() - before)

async def served():
    backend = Backend(function=lambda question: [], name="large")
    async with running(backend, Connection(listen="127.0.0.1:0")) as backend:
        await backend.port()
        again()

asyncio.run(served()) if sys.argv[1] == "served" else again()
"""

PAGES_OF_AN_ANSWER = 6 * 2_000_000 // 4096


def run(how: str) -> list[int]:
    done = subprocess.run((sys.executable, "-c", PROGRAM, how), capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back in this way")


@only_glibc
def test_a_backend_that_is_served_keeps_them() -> None:
    [again] = run("served")
    assert again < PAGES_OF_AN_ANSWER


@only_glibc
def test_the_pages_of_an_answer_are_kept_for_the_next_one() -> None:
    taken, again = run("expecting")
    assert taken < 100, "what glibc learns from has to take no memory itself"
    assert again < PAGES_OF_AN_ANSWER
    [without] = run("not")
    assert without > 10 * PAGES_OF_AN_ANSWER, "glibc no longer gives memory back so soon; then this is needed no more"

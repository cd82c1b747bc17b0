"""Whether large blocks of memory are kept for the next answer, as the kernel counts it: in pages handed out."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from appset_hub.malloc import expect_large_blocks

def answer():
    blocks = [bytes([65]) * 2_000_000 for _ in range(6)]

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "expecting":
    before = pages()
    expect_large_blocks()
    print(pages() - before)
answer()
before = pages()
for _ in range(20):
    answer()
print(pages() - before)
"""

PAGES_OF_AN_ANSWER = 6 * 2_000_000 // 4096


def run(how: str) -> list[int]:
    done = subprocess.run((sys.executable, "-c", PROGRAM, how), capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back in this way")
def test_the_pages_of_an_answer_are_kept_for_the_next_one() -> None:
    taken, again = run("expecting")
    assert taken < 100, "what glibc learns from has to take no memory itself"
    assert again < PAGES_OF_AN_ANSWER
    [without] = run("not")
    assert without > 10 * PAGES_OF_AN_ANSWER, "glibc no longer gives memory back so soon; then this is needed no more"

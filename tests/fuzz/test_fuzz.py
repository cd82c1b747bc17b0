"""Changed inputs at each place where bytes enter: nothing but the expected errors, and nothing that takes long.

``make fuzz`` tries more of them. A failure prints the input, and the seed that makes the same inputs again.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.campaign import Part
from tests.fuzz.mutations import Mutator
from tests.fuzz.targets import TARGETS
from tests.fuzz.trials import TOO_LONG, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SECONDS = 0.7
SEED = 1


def changed(name: str) -> Iterator[bytes]:
    """Inputs until the time is over."""
    target = TARGETS[name]
    mutator = Mutator(random.Random(SEED), target.examples, target.words)
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s:
        yield mutator.next()


@pytest.mark.parametrize("name", list(TARGETS))
def test_changed_inputs_bring_nothing_but_the_expected_errors(name: str) -> None:
    with TARGETS[name].opened() as act:
        figures = Trial(act).try_all(changed(name))
    assert figures.faults == {}
    assert figures.inputs > 0


def test_a_trial_goes_on_after_a_fault_and_keeps_one_of_each_place() -> None:
    def act(data: bytes) -> None:
        if data == b"slow":
            until_s = time.process_time() + 0.02
            while time.process_time() < until_s:
                pass
        assert data != b"bad"

    figures = Trial(act, max_stall_s=0.01).try_all([b"bad", b"slow", b"good", b"bad"])
    assert figures.inputs == 4
    assert figures.longest == b"slow"
    assert figures.faults.pop(TOO_LONG).data == b"slow"
    [(place, fault)] = figures.faults.items()
    assert place.startswith("AssertionError at ")
    assert fault.data == b"bad"


def test_a_campaign_tries_the_wanted_number_on_all_processes() -> None:
    command = [sys.executable, "-m", "tests.fuzz.campaign", "address", "--inputs", "7", "--processes", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("address                 7 inputs, 0 faults, longest ")


def test_the_parts_of_a_campaign_have_inputs_that_differ_and_come_back() -> None:
    one, other = (Part(target="address", seed=seed, seconds=60.0, inputs=20) for seed in ("1/0", "1/1"))
    assert list(one.changed()) == list(one.changed())
    assert list(one.changed()) != list(other.changed())
    assert len(list(one.changed())) == 20

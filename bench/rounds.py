"""Measures one piece of work: all its subjects side by side, in turn, round after round."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from processes import Fleet
from subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from load import Load
    from needs import Needs
    from subjects import Sample, Subject
    from workloads import Workload

_SECONDS = 2
_QUICK_SECONDS = 1
_WARM_UP_S = 1
_LONGEST_WARM_UP_S = 8
_REST_S = 0.1  # Between two subjects, so that neither pays for what the other left undone.

Samples = dict[str, list["Sample"]]


def run(workload: Workload, needs: Needs, *, quick: bool, say: Callable[[str], None]) -> Samples:
    """All samples, by subject, in the order of the rounds: the n-th of each were taken next to each other.

    Quickly is one round without warm-up: enough to see that everything answers, too little for a figure.

    Raises:
        Failed: a subject did not start, or gave a wrong answer.
    """
    with tempfile.TemporaryDirectory(prefix="appset-hub-bench-") as folder, Fleet(Path(folder)) as fleet:
        subjects = {name: SUBJECTS[name](fleet, needs) for name in workload.subjects if name not in needs.missing}
        return take_turns(subjects, workload.load, 0 if quick else workload.rounds, say)


def take_turns(subjects: Mapping[str, Subject], load: Load, rounds: int, say: Callable[[str], None]) -> Samples:
    """Measure subjects that have been started, one after the other in each round; 0 rounds are one quick one.

    Raises:
        Failed: a subject gave a wrong answer.
    """
    for subject in subjects.values():
        subject.check(load)
        if rounds:
            _warm_up(subject, load)
    seconds = _SECONDS if rounds else _QUICK_SECONDS
    samples: Samples = {name: [] for name in subjects}
    for number in range(rounds or 1):
        for name in _turned(list(subjects), number):
            time.sleep(_REST_S)
            samples[name].append(subjects[name].measure(load, seconds))
        say(f"  round {number + 1} of {rounds or 1}")
    return samples


def _warm_up(subject: Subject, load: Load) -> None:
    """Ask every question of a pool once: to a hub a new one costs more than one that it knows."""
    seen = subject.measure(load, _WARM_UP_S)
    if load.mode == "pool" and seen.requests_s * _WARM_UP_S < load.questions:
        subject.measure(load, min(_LONGEST_WARM_UP_S, math.ceil(load.questions / seen.requests_s) + 1))


def _turned(names: list[str], by: int) -> list[str]:
    """Another one begins in each round, so that none is always measured after the same neighbour's heat."""
    by %= len(names)
    return names[by:] + names[:by]

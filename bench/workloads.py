"""What is measured: each piece of work with the subjects that do it side by side, and the goals between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Literal

from answers import SIZES
from load import Load
from subjects import (
    BARE_STREAM,
    CONSTANT,
    DIALLED,
    DIALLED_READY,
    ENVOY,
    EXAMPLE,
    HUB,
    HUB_DIGEST,
    HUB_READY,
    HUB_READY_DIGEST,
    NGINX,
)

Figure = Literal["requests_s", "p50_us", "front_cpu_us"]

# Different questions that are asked in turn. Few for large answers, because the hub keeps the last answer to each.
_QUESTIONS = {2: 1000, 50: 1000, 1_000: 64, 10_000: 4}

_ALL_ROUNDS = 6
_FEW_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio between two subjects: at least, or at most, so much."""

    subject: str
    peer: str
    figure: Figure
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One piece of work, who does it, and who has to be how good at it."""

    name: str
    load: Load
    subjects: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    rounds: int = _FEW_ROUNDS
    quick: bool = False


def _load(sets: int, connections: int, *, change: bool = False) -> Load:
    return Load(sets=sets, connections=connections, change=change, questions=_QUESTIONS[sets])


@dataclass(frozen=True, slots=True)
class _Against:
    """Goals of one subject, as short lines."""

    subject: str
    peer: str = ENVOY
    goals: list[Goal] = field(default_factory=list)

    def faster(self, times: float, peer: str = "") -> _Against:
        return self._and(Goal(subject=self.subject, peer=peer or self.peer, figure="requests_s", at_least=times))

    def cheaper(self, times: float) -> _Against:
        return self._and(Goal(subject=self.subject, peer=self.peer, figure="front_cpu_us", at_most=times))

    def sooner(self, times: float) -> _Against:
        return self._and(Goal(subject=self.subject, peer=self.peer, figure="p50_us", at_most=times))

    def _and(self, goal: Goal) -> _Against:
        return _Against(self.subject, self.peer, [*self.goals, goal])


BENCH = (
    Workload(
        name="2 sets, 32 connections",
        load=_load(2, 32),
        subjects=(HUB, HUB_READY, DIALLED, DIALLED_READY, ENVOY, NGINX, EXAMPLE, CONSTANT, BARE_STREAM),
        goals=(
            *_Against(HUB_READY).faster(2.5).cheaper(0.55).faster(2.5, EXAMPLE).faster(0.6, CONSTANT).goals,
            *_Against(HUB).faster(2.5).cheaper(0.55).faster(2.5, EXAMPLE).faster(0.6, CONSTANT).goals,
            *_Against(DIALLED_READY).faster(0.7).goals,
            *_Against(DIALLED).faster(0.7).goals,
        ),
        rounds=_ALL_ROUNDS,
        quick=True,
    ),
    Workload(
        name="2 sets, 32 connections, one question for all",
        load=Load(sets=2, connections=32, questions=1),
        subjects=(HUB, ENVOY, CONSTANT),
        goals=(*_Against(HUB).faster(0.6, CONSTANT).goals,),
    ),
    Workload(
        name="2 sets, 32 connections, no question twice",
        load=Load(sets=2, connections=32, mode="new"),
        subjects=(HUB, ENVOY),
    ),
    Workload(
        name="2 sets, 1 connection",
        load=_load(2, 1),
        subjects=(HUB, ENVOY, CONSTANT),
        goals=(*_Against(HUB).sooner(1.0).goals,),
    ),
    Workload(name="50 sets, 8 connections", load=_load(50, 8), subjects=(HUB, ENVOY)),
    Workload(
        name="1,000 sets that repeat, 8 connections",
        load=_load(1_000, 8),
        subjects=(HUB_READY_DIGEST, HUB_READY, HUB, ENVOY),
        goals=(
            *_Against(HUB_READY_DIGEST).faster(10).cheaper(0.1).goals,
            *_Against(HUB_READY).faster(10).cheaper(0.1).goals,
            *_Against(HUB).faster(10).cheaper(0.1).goals,
        ),
        quick=True,
    ),
    Workload(
        name="1,000 sets that change, 8 connections",
        load=_load(1_000, 8, change=True),
        subjects=(HUB_READY, ENVOY),
        goals=(*_Against(HUB_READY).faster(2).goals,),
    ),
    Workload(
        name="10,000 sets that repeat, 1 connection",
        load=_load(10_000, 1),
        subjects=(HUB_READY_DIGEST, HUB_READY, HUB, ENVOY),
        goals=(
            *_Against(HUB_READY_DIGEST).sooner(0.1).goals,
            *_Against(HUB_READY).sooner(0.1).goals,
            *_Against(HUB).sooner(0.1).goals,
        ),
    ),
    Workload(
        name="members of 20 ms each, 1 connection",
        load=Load(sets=2, connections=1, questions=20, sleep_ms=20),
        subjects=("1 members", "4 members", "16 members"),
        goals=(*_Against("16 members", "1 members").sooner(1.25).goals,),
        quick=True,
    ),
    Workload(
        name="the last of many routes, 1 connection",
        load=_load(2, 1),
        subjects=("10 routes", "10000 routes"),
        goals=(*_Against("10000 routes", "10 routes").sooner(1.05).goals,),
    ),
)


def everything() -> tuple[Workload, ...]:
    """All kinds of work there are, in all sizes, without goals."""
    mixed = tuple(
        Workload(
            name=f"{sets:,} sets that {'change' if change else 'repeat'}, {connections} connections",
            load=_load(sets, connections, change=change),
            subjects=(HUB, HUB_DIGEST, HUB_READY, HUB_READY_DIGEST, DIALLED, DIALLED_READY, ENVOY),
        )
        for sets, connections, change in itertools.product(SIZES, (1, 8, 32), (False, True))
    )
    members = tuple(
        Workload(
            name=f"members with 2 sets each, {connections} connections",
            load=_load(2, connections),
            subjects=("1 members", "4 members", "16 members"),
        )
        for connections in (1, 8, 32)
    )
    return (*BENCH, *(one for one in mixed if one.name not in {known.name for known in BENCH}), *members)

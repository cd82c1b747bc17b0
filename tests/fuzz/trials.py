"""Tries inputs on a target, one after the other, and keeps the figures: how many, what they raised, how long they took.

A trial goes on after a fault. Faults from the same line are one fault, with the first input that led there.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_STALL_S = 0.1
TOO_LONG = f"takes more than {MAX_STALL_S * 1000:.0f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What an input led to that it may not."""

    data: bytes
    text: str


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a trial has seen; ``faults`` has them by their place in the code."""

    inputs: int = 0
    longest_s: float = 0.0
    longest: bytes = b""
    faults: dict[str, Fault] = field(default_factory=dict)

    def add(self, other: Figures) -> None:
        """Take in the figures of another trial."""
        self.inputs += other.inputs
        if other.longest_s >= self.longest_s:
            self.longest_s, self.longest = other.longest_s, other.longest
        self.faults = {**other.faults, **self.faults}


class Trial:
    """Tries inputs on one function."""

    def __init__(self, act: Callable[[bytes], object], max_stall_s: float = MAX_STALL_S) -> None:
        self.figures = Figures()
        self._act = act
        self._max_stall_s = max_stall_s

    def try_all(self, inputs: Iterable[bytes]) -> Figures:
        """Try all of them."""
        for data in inputs:
            self.try_one(data)
        return self.figures

    def try_one(self, data: bytes) -> None:
        """Try one input."""
        figures = self.figures
        figures.inputs += 1
        try:
            took_s = self._seconds_of(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of a library in Rust is no Exception.
            figures.faults.setdefault(_place(error), Fault(data=data, text=_text(error)))
            return
        if took_s > figures.longest_s:
            figures.longest_s, figures.longest = took_s, data
        if took_s > self._max_stall_s:
            figures.faults.setdefault(TOO_LONG, Fault(data=data, text=f"it takes {took_s:.3f} s"))

    def _seconds_of(self, data: bytes) -> float:
        """How long an input takes: the least of three, if the first is too long, for the machine may be busy."""
        took_s = self._max_stall_s + 1
        for _ in range(3):
            started_s = time.process_time()
            self._act(data)
            took_s = min(took_s, time.process_time() - started_s)
            if took_s <= self._max_stall_s:
                break
        return took_s


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}"


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()

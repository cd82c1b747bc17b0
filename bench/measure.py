"""What a process costs, from /proc: processor time of all its threads and of its children, and memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"  # To /proc/PID/clear_refs; see proc(5).


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and all below it, since they began; in steps of the kernel's tick, 10 ms."""
    return sum(_ticks(one) for one in family(pid)) / _TICKS_A_SECOND


def _ticks(pid: int) -> int:
    # The name in the second field may hold anything, a closing parenthesis too.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def running_s(pid: int) -> float:
    """Processor seconds of a process's threads that live, to the nanosecond: for those that hardly do anything."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def resident_kib(pid: int) -> int:
    """Memory of a process and all below it, at this moment."""
    return sum(_status(one, "VmRSS") for one in family(pid))


def peak_kib(pid: int) -> int:
    """The most of it since the process began, or since ``forget_peak``. 0 is the process that asks."""
    return sum(_status(one, "VmHWM") for one in (family(pid) if pid else [os.getpid()]))


def forget_peak(pid: int) -> None:
    """Let the peak begin anew, where the kernel allows it."""
    for one in family(pid):
        with suppress(OSError):
            Path(f"/proc/{one}/clear_refs").write_text(_RESET_PEAK)


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0

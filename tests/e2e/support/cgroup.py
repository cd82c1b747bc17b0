"""A control group with a limit on memory, as a container has: real, so it needs root and a writable hierarchy."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/sys/fs/cgroup")
_LEAVE_S = 5.0


class MemoryGroup:
    """One group, of version 1 or 2."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.is_v1 = (folder / "memory.limit_in_bytes").exists()

    def limit(self, limit_bytes: int) -> None:
        name = "memory.limit_in_bytes" if self.is_v1 else "memory.max"
        (self._folder / name).write_text(str(limit_bytes), encoding="ascii")
        # Without swap, as in most clusters.
        swap = self._folder / ("memory.memsw.limit_in_bytes" if self.is_v1 else "memory.swap.max")
        if swap.exists():
            swap.write_text(str(limit_bytes if self.is_v1 else 0), encoding="ascii")

    def runner(self, folder: Path) -> Path:
        """A program that runs a command in this group."""
        script = folder / "in-group.sh"
        script.write_text(f'#!/bin/sh\necho $$ > "{self._folder}/cgroup.procs"\nexec "$@"\n')
        script.chmod(0o755)
        return script

    @property
    def kills(self) -> int:
        """How many processes the kernel has ended."""
        lines = (self._folder / ("memory.oom_control" if self.is_v1 else "memory.events")).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @property
    def peak_bytes(self) -> int:
        file = self._folder / ("memory.max_usage_in_bytes" if self.is_v1 else "memory.peak")
        return int(file.read_text()) if file.exists() else 0


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A new group, for processes that end before it does; skips the test where none can be made."""
    parent = _ROOT / "memory" if (_ROOT / "memory" / "memory.limit_in_bytes").exists() else _ROOT
    folder = parent / f"appset-hub-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir()
        group = MemoryGroup(folder)
        group.limit(limit_bytes)
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"no control group with a memory limit can be made here: {error}")
    try:
        yield group
    finally:
        for _ in range(int(_LEAVE_S / 0.1)):
            try:
                folder.rmdir()
                break
            except OSError:  # A process is still ending.
                time.sleep(0.1)

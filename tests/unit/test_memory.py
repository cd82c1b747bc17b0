"""What the hub's parts may take of its memory, and how it learns how much that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.config.cgroup import memory_limit_bytes
from hub.config.memory import Memory

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
NO_LIMIT = 9223372036854771712
"""What version 1 says without one."""


def groups(folder: Path, own: str, **files: int | str) -> tuple[Path, Path]:
    """Control groups as files: ``a__b`` is the folder ``a/b``."""
    for place, limit in files.items():
        file = folder / place.replace("__", "/")
        name = "memory.limit_in_bytes" if place.startswith("memory") else "memory.max"
        file.mkdir(parents=True, exist_ok=True)
        (file / name).write_text(f"{limit}\n")
    (folder / "own").write_text(own)
    return folder, folder / "own"


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/\n", {".": 512 * MIB}, 512 * MIB),
        ("0::/\n", {".": "max"}, None),
        ("0::/pods/hub\n", {".": "max", "pods": 700 * MIB, "pods__hub": 512 * MIB}, 512 * MIB),
        ("0::/pods/hub\n", {"pods": 400 * MIB, "pods__hub": "max"}, 400 * MIB),
        ("0::/not/seen/in/here\n", {".": 512 * MIB}, 512 * MIB),
        ("4:memory:/\n0::/\n", {"memory": 512 * MIB}, 512 * MIB),
        ("4:cpu,memory:/hub\n", {"memory": NO_LIMIT, "memory__hub": 512 * MIB}, 512 * MIB),
        ("4:memory:/hub\n", {"memory": NO_LIMIT, "memory__hub": NO_LIMIT}, None),
        ("4:cpu:/hub\n", {"memory": 512 * MIB}, None),
        ("0::/../outside\n", {".": 512 * MIB}, 512 * MIB),
    ],
)
def test_the_limit_is_the_lowest_of_the_groups_of_this_process(
    tmp_path: Path, own: str, files: dict[str, int | str], limit: int | None
) -> None:
    assert memory_limit_bytes(*groups(tmp_path, own, **files)) == limit


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path, tmp_path / "none") is None


def test_without_a_limit_the_parts_are_as_documented() -> None:
    memory = Memory(None)
    assert (memory.max_answer_bytes, memory.remembered_bytes, memory.schema_bytes) == (16 * MIB, 128 * MIB, 256 * MIB)
    assert memory.large_answers_bytes is memory.unread_bytes is None
    assert memory.check_bytes == 0


@pytest.mark.parametrize("mib", [128, 256, 512, 1024, 2048, 16384])
def test_the_parts_together_leave_room_for_the_hub_itself(mib: int) -> None:
    memory = Memory(mib * MIB)
    assert memory.large_answers_bytes is not None
    assert memory.unread_bytes is not None
    parts = memory.remembered_bytes + memory.baseline_bytes + memory.large_answers_bytes + memory.unread_bytes
    assert parts <= mib * MIB * 0.65
    # At least two of the largest answers are under way at the same time, each three times.
    assert memory.large_answers_bytes >= 2 * 3 * memory.max_answer_bytes
    assert Memory(512 * MIB).max_answer_bytes == 8 * MIB

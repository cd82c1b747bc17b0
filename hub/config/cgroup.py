"""How much memory the platform lets this process have: the limit of its control groups (cgroups 7, version 1 or 2)."""

from __future__ import annotations

from pathlib import Path

_NO_LIMIT_BYTES = 1 << 60  # Version 1 says so with the largest number that it knows.
_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def memory_limit_bytes(root: Path = _ROOT, own: Path = _OWN) -> int | None:
    """The lowest limit of the groups that this process is in, or ``None``.

    In a container, its group is usually the root of what it sees.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += _limits(root, path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(root / "memory", path, "memory.limit_in_bytes")
    return min((limit for limit in found if limit < _NO_LIMIT_BYTES), default=None)


def _limits(root: Path, path: str, name: str) -> list[int]:
    group = root / path.lstrip("/")
    found = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            text = (folder / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():  # It is "max" where there is no limit.
            found.append(int(text))
    return found

"""What the hub's parts may take of its memory, where the configuration does not say so. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hub.config.file import LEAST_PROCESS_BYTES

_MIB = 1024 * 1024
_MAX_ANSWER_BYTES = 16 * _MIB
_REMEMBERED_BYTES = 128 * _MIB
_SCHEMA_BYTES = 256 * _MIB
_BASELINE_BYTES = 192 * _MIB


@dataclass(frozen=True, slots=True)
class Memory:
    """How a memory limit is divided; ``None`` is no limit.

    Of 512 MiB the hub itself takes about 50, cached answers 64, as do baselines, and answers that callers are slow to
    read. Large answers that are under way take 128, three times what they have as JSON. The process that checks one of
    8 MiB takes 90, or 300 if it is as nested as it may be; its address space ends at 256. All of that does not come
    together, and if it does, the hub refuses requests before it is too late.
    """

    total_bytes: int | None

    def _at_most(self, default_bytes: int, share: int) -> int:
        return default_bytes if self.total_bytes is None else min(default_bytes, self.total_bytes // share)

    @property
    def max_answer_bytes(self) -> int:
        """One answer."""
        return self._at_most(_MAX_ANSWER_BYTES, 64)

    @property
    def remembered_bytes(self) -> int:
        """Cached answers."""
        return self._at_most(_REMEMBERED_BYTES, 8)

    @property
    def baseline_bytes(self) -> int:
        """Baselines that are kept in memory."""
        return self._at_most(_BASELINE_BYTES, 8)

    @property
    def large_answers_bytes(self) -> int | None:
        """Large answers that are under way."""
        return None if self.total_bytes is None else self.total_bytes // 4

    @property
    def unread_bytes(self) -> int | None:
        """Answers that callers are reading."""
        return None if self.total_bytes is None else self.total_bytes // 8

    @property
    def schema_bytes(self) -> int:
        """The address space of a process that checks inputs."""
        return max(LEAST_PROCESS_BYTES, self._at_most(_SCHEMA_BYTES, 4))

    @property
    def check_bytes(self) -> int:
        """The address space of a process that checks a large answer; 0 without a limit."""
        return 0 if self.total_bytes is None else max(LEAST_PROCESS_BYTES, self.total_bytes // 2)

"""A store that forgets when the process ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from hub.service.ports import Change


class MemoryStore:
    """Keeps everything in a dictionary."""

    lasting = False

    def __init__(self) -> None:
        self._values: dict[str, dict[str, bytes]] = {}

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        """All values of a kind whose key starts with ``prefix``, the one written last at the end."""
        return {key: value for key, value in self._values.get(kind, {}).items() if key.startswith(prefix)}

    async def get(self, kind: str, key: str) -> bytes | None:
        """One value."""
        return self._values.get(kind, {}).get(key)

    async def prune(self, kind: str, keep: int) -> None:
        """Drop all values of a kind but the ``keep`` that were written last."""
        values = self._values.get(kind, {})
        for key in list(values)[: max(0, len(values) - keep)]:
            del values[key]

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes."""
        for change in changes:
            values = self._values.setdefault(change.kind, {})
            values.pop(change.key, None)
            if change.value is not None:
                values[change.key] = change.value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._values.clear()

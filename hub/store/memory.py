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

    async def load(self, kind: str) -> Mapping[str, bytes]:
        """All values of a kind, by key."""
        return dict(self._values.get(kind, {}))

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes."""
        for change in changes:
            values = self._values.setdefault(change.kind, {})
            if change.value is None:
                values.pop(change.key, None)
            else:
                values[change.key] = change.value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._values.clear()

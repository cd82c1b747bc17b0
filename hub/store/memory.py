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
        self._values: dict[tuple[str, str], bytes] = {}  # The one written last at the end.

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        """All values of a kind whose key starts with ``prefix``, the one written last at the end."""
        return {key: value for (of, key), value in self._values.items() if of == kind and key.startswith(prefix)}

    async def get(self, kind: str, key: str) -> bytes | None:
        """One value."""
        return self._values.get((kind, key))

    async def keys(self, kind: str) -> Sequence[str]:
        """All keys of a kind."""
        return [key for of, key in self._values if of == kind]

    async def has(self, kind: str, prefix: str) -> bool:
        """Whether there is any value of a kind whose key starts with ``prefix``."""
        return any(of == kind and key.startswith(prefix) for of, key in self._values)

    async def prune(self, kinds: Sequence[str], keep: int) -> None:
        """Drop all values of some kinds, but those under the ``keep`` keys to which any of them was written last."""
        latest = dict.fromkeys(key for kind, key in reversed(self._values) if kind in kinds)
        for dropped in list(latest)[keep:]:
            for kind in kinds:
                self._values.pop((kind, dropped), None)

    async def verify(self) -> None:
        """It is there as long as the process."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes."""
        for change in changes:
            self._values.pop((change.kind, change.key), None)
            if change.value is not None:
                self._values[change.kind, change.key] = change.value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._values.clear()

"""Who is connected to a port: how many in all and from one address, and who has to make room.

A connection without a request under way can be closed at no one's cost. Those that have never sent a whole request go
first, the oldest first: that is what an attacker has many of, and what a client that is about to ask never is for long.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.http.connection import Connection

Kind = Literal["stranger", "idle", "busy", "refused"]


class Crowd:
    """The open connections of a port, each of one kind.

    It has not asked yet, is between requests, is busy, or was refused and ends in a moment; those do not count.
    """

    def __init__(self) -> None:
        # Dictionaries keep the order in which connections became what they are.
        self._kinds: dict[Kind, dict[Connection, None]] = {"stranger": {}, "idle": {}, "busy": {}, "refused": {}}
        self._peers: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def __iter__(self) -> Iterator[Connection]:
        for connections in self._kinds.values():
            yield from tuple(connections)

    def add(self, connection: Connection) -> None:
        """One more, which has not asked yet."""
        self._kinds["stranger"][connection] = None
        self._peers[connection.peer] += 1

    def move(self, connection: Connection, before: Kind, after: Kind) -> None:
        """It is something else now."""
        if self._kinds[before].pop(connection, connection) is None:
            self._kinds[after][connection] = None
            if after == "refused":
                self._leave(connection.peer)

    def remove(self, connection: Connection) -> None:
        """It has gone."""
        kind = next((kind for kind, found in self._kinds.items() if found.pop(connection, connection) is None), None)
        if kind not in (None, "refused"):
            self._leave(connection.peer)

    def _leave(self, peer: str) -> None:
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    @property
    def counted(self) -> int:
        """How many there are without those that were refused."""
        return len(self) - len(self._kinds["refused"])

    def of_peer(self, peer: str) -> int:
        """How many come from one address."""
        return self._peers[peer]

    @property
    def idle(self) -> int:
        """How many are between requests."""
        return len(self._kinds["idle"])

    def oldest_idle(self) -> Connection | None:
        """The connection that has been between requests for longest."""
        return next(iter(self._kinds["idle"]), None)

    def most_dispensable(self, newest: Connection) -> Connection | None:
        """Which one makes room for the newest; ``None`` if all others are busy."""
        strangers = iter(self._kinds["stranger"])
        return next((one for one in strangers if one is not newest), None) or self.oldest_idle()

"""Who is connected to a port: how many in all and from one address, and who has to make room.

A connection without a request under way can be closed at no one's cost. Those that have never sent a whole request go
first, the oldest first: that is what an attacker has many of, and what a client that is about to ask never is for long.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.http.connection import Connection
    from hub.http.limits import PortLimits

Kind = Literal["stranger", "idle", "busy", "refused", "gone"]
"""A connection has not asked yet, is between requests, is busy, was refused and ends in a moment, or has ended."""


class Crowd:
    """The open connections of a port. Those that were refused do not count: they end in a moment."""

    def __init__(self, limits: PortLimits) -> None:
        self._limits = limits
        # Dictionaries keep an order: of strangers the one in which they came, of callers that of their last answers.
        self._strangers: dict[Connection, None] = {}
        self._callers: dict[Connection, None] = {}
        self._refused: set[Connection] = set()
        self._idle = 0
        self._peers: Counter[str] = Counter()
        self._unread: dict[Connection, int] = {}
        self._unread_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._callers or self._strangers or self._refused)

    def __iter__(self) -> Iterator[Connection]:
        return iter((*self._strangers, *self._callers, *self._refused))

    def add(self, connection: Connection) -> str:
        """One more, which has not asked yet. Another one makes room for it; says why not if none can."""
        self._strangers[connection] = None
        self._peers[connection.peer] += 1
        if self._peers[connection.peer] > self._limits.connections_per_peer:
            return "too many connections from this address (limits.connections_per_peer); ask again later"
        if len(self._strangers) + len(self._callers) > self._limits.connections:
            dispensable: Connection | None = next(chain(self._strangers, self._idle_ones()))
            if dispensable is connection:
                dispensable = next(self._idle_ones(), None)
            if dispensable is None:
                return "too many connections (limits.connections); ask again later"
            self._dismiss(dispensable)
        return ""

    def begin(self, connection: Connection) -> None:
        """It asks."""
        if connection.kind == "idle":
            self._idle -= 1
        elif connection.kind == "stranger":
            del self._strangers[connection]
            self._callers[connection] = None
        connection.kind = "busy"

    def rest(self, connection: Connection) -> None:
        """It was answered. If too many are between requests, the one that has been so for longest goes."""
        if connection.kind != "busy":
            return
        connection.kind = "idle"
        callers = self._callers
        del callers[connection]
        callers[connection] = None
        self._idle += 1
        if self._idle > self._limits.idle_connections:
            self._dismiss(next(self._idle_ones()))

    def refuse(self, connection: Connection) -> None:
        """It is turned away."""
        self.remove(connection)
        self._refused.add(connection)
        connection.kind = "refused"

    def remove(self, connection: Connection) -> None:
        """It has gone."""
        self.answer_is_read(connection)
        if connection.kind == "refused":
            self._refused.discard(connection)
        elif connection.kind != "gone":
            self._idle -= connection.kind == "idle"
            del (self._strangers if connection.kind == "stranger" else self._callers)[connection]
            self._peers[connection.peer] -= 1
            if not self._peers[connection.peer]:
                del self._peers[connection.peer]
        connection.kind = "gone"

    def answer_is_unread(self, connection: Connection, size_bytes: int) -> None:
        """It has not read so much of its answer. If that is too much of all together, the slowest readers go."""
        self.answer_is_read(connection)
        self._unread[connection] = size_bytes
        self._unread_bytes += size_bytes
        limit = self._limits.unread_bytes
        while limit is not None and self._unread_bytes > limit and len(self._unread) > 1:
            slowest = next(iter(self._unread))
            self.answer_is_read(slowest)
            slowest.abort()

    def answer_is_read(self, connection: Connection) -> None:
        """It has read most of its answer, or does not have to any more."""
        if self._unread:
            self._unread_bytes -= self._unread.pop(connection, 0)

    def _dismiss(self, connection: Connection) -> None:
        self.refuse(connection)
        connection.make_room()

    def _idle_ones(self) -> Iterator[Connection]:
        return (one for one in self._callers if one.kind == "idle")

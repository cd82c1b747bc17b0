"""How many requests may be in flight: in all, and of one client."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hub.core.errors import ClientLimit, Draining, Shedding

if TYPE_CHECKING:
    from types import TracebackType

    from hub.core.clients import Client


class Admission:
    """Counts what is in flight, and turns away what is too much."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._clients: Counter[str] = Counter()
        self.in_flight = 0
        self.closed = False

    def admit(self, client: Client) -> _Admitted:
        """One more request of a client, until the returned context ends.

        Raises:
            Draining: the hub takes no requests any more.
            Shedding: there are too many in all.
            ClientLimit: this client has too many.
        """
        if self.closed:
            raise Draining("the hub is shutting down; ask again")
        if self.in_flight >= self._max_in_flight:
            raise Shedding("the hub has as many requests in flight as it takes; ask again, or add replicas")
        if self._clients[client.name] >= client.max_in_flight:
            raise ClientLimit(
                f'client "{client.name}" has {client.max_in_flight} requests in flight, as many as it may have'
            )
        return _Admitted(self, client.name)

    def count(self, client: str, change: int) -> None:
        """Keep the books."""
        self.in_flight += change
        self._clients[client] += change


class _Admitted:
    __slots__ = ("_admission", "_client")

    def __init__(self, admission: Admission, client: str) -> None:
        self._admission = admission
        self._client = client

    def __enter__(self) -> None:
        self._admission.count(self._client, 1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._admission.count(self._client, -1)

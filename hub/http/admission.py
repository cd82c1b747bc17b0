"""How many requests may be in flight: in all, and of one client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import ClientLimit, Draining, Shedding

if TYPE_CHECKING:
    from hub.core.clients import Client


class Admission:
    """Counts what is in flight, and turns away what is too much."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._clients: dict[str, int] = {}
        self.in_flight = 0
        self.closed = False
        self.is_short_of_memory = False

    def admit(self, client: Client) -> None:
        """One more request of a client, until it is dismissed.

        Raises:
            Draining: the hub takes no requests any more.
            Shedding: there are too many in all.
            ClientLimit: this client has too many.
        """
        if self.closed:
            raise Draining("the hub is shutting down; ask again")
        if self.is_short_of_memory:
            raise Shedding("the hub is short of memory (limits.memory); Applications are left unchanged. Ask again")
        if self.in_flight >= self._max_in_flight:
            raise Shedding("the hub has as many requests in flight as it takes; ask again, or add replicas")
        of_client = self._clients.get(client.name, 0)
        if of_client >= client.max_in_flight:
            raise ClientLimit(
                f'client "{client.name}" has {client.max_in_flight} requests in flight, as many as it may have'
            )
        self.in_flight += 1
        self._clients[client.name] = of_client + 1

    def dismiss(self, client: Client) -> None:
        """End what ``admit`` began."""
        self.in_flight -= 1
        self._clients[client.name] -= 1

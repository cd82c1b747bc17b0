"""How many requests one route may have in flight, so that a stuck route does not use up what its neighbours need.

No client may use up a route either: each gets up to three times as many as are still free. One that asks without end
has three quarters of them at most, two have three sevenths each, and there is always room for the next one. Routes made
of claims are told apart by their backends. Knows no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import ClientLimit, RouteBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.core.routes import Route

_MAX_NAMED = 3  # More backends would not fit into a message.
_TIMES_FREE = 3

Compartment = str | tuple[str, ...]


class Bulkhead:
    """Counts what is in flight on each route, and refuses what is beyond its limit."""

    def __init__(self) -> None:
        # By client; none of them is zero.
        self._in_flight: dict[Compartment, dict[str, int]] = {}
        self.has_several_clients = False
        """Whether a part of each route is kept free for others."""

    def enter(self, route: Route, client: str) -> None:
        """One more request on a route, until it leaves.

        Raises:
            RouteBusy: the route has as many as it may have.
            ClientLimit: the client has most of them.
        """
        compartment = _compartment(route)
        clients = self._in_flight.get(compartment)
        if clients is None:
            # Any limit allows one.
            self._in_flight[compartment] = {client: 1}
            return
        own = clients.get(client, 0)
        if route.max_in_flight is not None:
            free = route.max_in_flight - sum(clients.values())
            if free <= 0:
                raise RouteBusy(
                    f"{_subject(route)} is at its limit of {route.max_in_flight} requests in flight; Applications are "
                    "left unchanged. Find out why its backends are slow, or raise max_in_flight"
                )
            if self.has_several_clients and own >= _TIMES_FREE * free:
                raise ClientLimit(
                    f'client "{client}" has most of the {route.max_in_flight} requests that {_subject(route)} may have '
                    "in flight; the rest is for other clients. Find out why its backends are slow, or raise "
                    "max_in_flight"
                )
        clients[client] = own + 1

    def leave(self, route: Route, client: str) -> None:
        """End what ``enter`` began."""
        compartment = _compartment(route)
        clients = self._in_flight[compartment]
        if clients[client] > 1:
            clients[client] -= 1
        elif len(clients) > 1:
            del clients[client]
        else:
            del self._in_flight[compartment]

    def counts(self, claimed: str) -> Iterator[tuple[str, int]]:
        """Each configured route that has requests in flight, and how many; those of claims together, as ``claimed``."""
        of_claims = 0
        for compartment, clients in self._in_flight.items():
            count = sum(clients.values())
            if isinstance(compartment, str):
                yield compartment, count
            else:
                of_claims += count
        yield claimed, of_claims


def _compartment(route: Route) -> Compartment:
    return route.members if route.claimed else route.name


def _subject(route: Route) -> str:
    if not route.claimed:
        return f'route "{route.name}"'
    names = ", ".join(f'"{backend}"' for backend in route.members[:_MAX_NAMED])
    more = f" and {len(route.members) - _MAX_NAMED} more" if len(route.members) > _MAX_NAMED else ""
    return f"the route of {'backend' if len(route.members) == 1 else 'backends'} {names}{more}"

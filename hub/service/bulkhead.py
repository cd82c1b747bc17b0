"""How many requests one route may have in flight, so that a stuck route does not use up what its neighbours need.

Routes made of claims are told apart by their backends. Knows no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import RouteBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.core.routes import Route

_MAX_NAMED = 3  # More backends would not fit into a message.

Compartment = str | tuple[str, ...]


class Bulkhead:
    """Counts what is in flight on each route, and refuses what is beyond its limit."""

    def __init__(self) -> None:
        self._in_flight: dict[Compartment, int] = {}  # None of them is zero.

    def enter(self, route: Route) -> None:
        """One more request on a route, until it leaves.

        Raises:
            RouteBusy: the route has as many as it may have.
        """
        compartment = _compartment(route)
        count = self._in_flight.get(compartment, 0)
        if route.max_in_flight is not None and count >= route.max_in_flight:
            raise RouteBusy(_message(route))
        self._in_flight[compartment] = count + 1

    def leave(self, route: Route) -> None:
        """End what ``enter`` began."""
        compartment = _compartment(route)
        count = self._in_flight[compartment] - 1
        if count:
            self._in_flight[compartment] = count
        else:
            del self._in_flight[compartment]

    def counts(self, claimed: str) -> Iterator[tuple[str, int]]:
        """Each configured route that has requests in flight, and how many; those of claims together, as ``claimed``."""
        of_claims = 0
        for compartment, count in self._in_flight.items():
            if isinstance(compartment, str):
                yield compartment, count
            else:
                of_claims += count
        yield claimed, of_claims


def _compartment(route: Route) -> Compartment:
    return route.members if route.claimed else route.name


def _message(route: Route) -> str:
    subject = f'route "{route.name}"'
    if route.claimed:
        names = ", ".join(f'"{backend}"' for backend in route.members[:_MAX_NAMED])
        more = f" and {len(route.members) - _MAX_NAMED} more" if len(route.members) > _MAX_NAMED else ""
        subject = f"the route of {'backend' if len(route.members) == 1 else 'backends'} {names}{more}"
    return (
        f"{subject} is at its limit of {route.max_in_flight} requests in flight; Applications are left unchanged. Find "
        "out why its backends are slow, or raise max_in_flight"
    )

"""The routes and claims of this moment, for whoever needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.core.errors import HubError
from hub.core.routes import CLAIMED, RouteTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hub.core.directory import Directory
    from hub.core.guard import GuardPolicy
    from hub.core.routes import Route
    from hub.service.ports import Link


class Routing:
    """Holds the route table, and makes it anew when routes or claims change."""

    def __init__(self, directory: Directory[Link]) -> None:
        self._directory = directory
        self._table = RouteTable((), ())

    @property
    def table(self) -> RouteTable:
        """The table of this moment."""
        return self._table

    def policy(self, route: str) -> GuardPolicy:
        """The guard's settings of a route; of one that is not configured, those of the whole file."""
        return (self._table.named(route) or self._table.like).trust.guard

    def has_route(self, route: str, application_set_name: str, parameters: Mapping[str, Any]) -> bool:
        """Whether questions about this name and input can still come to this route."""
        if route != CLAIMED:
            return self._table.named(route) is not None
        try:
            return self._table.resolve(None, application_set_name, parameters).claimed
        except HubError:
            return True  # Nobody serves it now, but whoever claims it next does.

    def take(self, table: RouteTable) -> None:
        """Take a table of new routes; its claims, and the backends that it waits for, become those of now."""
        self._table = table.with_claims(self._directory.claims(), self._directory.unseen())

    def set_routes(self, routes: Sequence[Route], *, claimed: Route) -> None:
        """Take what the configuration says; ``claimed`` is what all routes of claims are like."""
        self._table = RouteTable(routes, self._directory.claims(), unseen=self._directory.unseen(), claimed=claimed)

    def claims_changed(self) -> None:
        """Use the directory's current claims."""
        self._table = self._table.with_claims(self._directory.claims(), self._directory.unseen())

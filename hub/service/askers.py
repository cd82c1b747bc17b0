"""Who can still ask: the clients of the configuration, and its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hub.service.routing import Routing


class ConfiguredAskers:
    """The clients and routes of this moment."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._clients: frozenset[str] = frozenset()

    def take(self, clients: Iterable[str]) -> None:
        """Take the clients of a new configuration."""
        self._clients = frozenset(clients)

    def has_client(self, client: str) -> bool:
        """Whether a client of this name is configured."""
        return client in self._clients

    def has_route(self, route: str, application_set_name: str, parameters: Mapping[str, Any]) -> bool:
        """Whether questions about this name and input can still come to this route."""
        return self._routing.has_route(route, application_set_name, parameters)

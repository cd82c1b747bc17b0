"""The routes and claims of this moment, for whoever needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.errors import HubError
from hub.core.keybook import KeyBook
from hub.core.routes import CLAIMED, RouteTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hub.core.directory import Directory
    from hub.core.guard import GuardPolicy
    from hub.core.keys import Identification, Keys
    from hub.core.routes import Route
    from hub.service.ports import Link

_MAX_FOUND = 20_000  # Routes, and combinations of claims, whose keys were looked up; made again at the next miss.


class Routing:
    """Holds the route table, and makes it anew when routes or claims change."""

    def __init__(self, directory: Directory[Link]) -> None:
        self._directory = directory
        self._table = RouteTable((), ())
        self._book = KeyBook()
        self._found: dict[tuple[str, tuple[str, ...]], Identification] = {}
        self._before: dict[tuple[str, tuple[str, ...]], Identification] = {}

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
        self._look_up_again()

    def set_routes(self, routes: Sequence[Route], *, claimed: Route) -> None:
        """Take what the configuration says; ``claimed`` is what all routes of claims are like."""
        self._table = RouteTable(routes, self._directory.claims(), unseen=self._directory.unseen(), claimed=claimed)
        self._look_up_again()

    def claims_changed(self) -> None:
        """Use the directory's current claims."""
        self._table = self._table.with_claims(self._directory.claims(), self._directory.unseen())

    @property
    def book(self) -> KeyBook:
        """What is known of keys."""
        return self._book

    def identification(self, route: Route) -> Identification:
        """What identifies the sets of a route; the same object as long as nothing about it changes."""
        key = (route.name, route.members)
        found = self._found.get(key)
        if found is None:
            found = self._book.identification(route)
            before = self._before.get(key)
            # An answer that was taken under equal keys need not be read again.
            found = before if before is not None and before == found else found
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[key] = found
        return found

    def set_configured_keys(self, keys: Mapping[str, tuple[str, ...]]) -> None:
        """Take the keys that the configuration gives to backends."""
        self._set_book(msgspec.structs.replace(self._book, configured=dict(keys)))

    def set_declared_keys(self, backend: str, keys: tuple[str, ...]) -> None:
        """Take the keys that a backend declares."""
        if self._book.declared.get(backend, ()) != keys:
            self._set_book(msgspec.structs.replace(self._book, declared={**self._book.declared, backend: keys}))

    def set_taught_keys(self, *, routes: Mapping[str, Keys], backends: Mapping[str, Keys]) -> None:
        """Take all keys that operators have taught."""
        self._set_book(msgspec.structs.replace(self._book, taught_routes=dict(routes), taught_backends=dict(backends)))

    def _set_book(self, book: KeyBook) -> None:
        self._book = book
        self._look_up_again()

    def _look_up_again(self) -> None:
        self._before = {**self._before, **self._found} if len(self._before) < _MAX_FOUND else self._found
        self._found = {}

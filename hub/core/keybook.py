"""All that is known of keys: from the configuration, from backends and from operators; and what a route makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.combine import Merge
from hub.core.keys import Identification, Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hub.core.routes import Route


class KeyBook(msgspec.Struct, frozen=True, kw_only=True):
    """Keys by route and by backend. ``configured`` and ``declared`` are of backends."""

    configured: Mapping[str, tuple[str, ...]] = {}
    declared: Mapping[str, tuple[str, ...]] = {}
    taught_routes: Mapping[str, Keys] = {}
    taught_backends: Mapping[str, Keys] = {}

    def identification(self, route: Route) -> Identification:
        """What identifies the sets of a route."""
        if route.rules.unique_by:
            return Identification(whole=Keys(keys=route.rules.unique_by, source="route"))
        if isinstance(route.combine, Merge):
            # The hub already requires that these tell the first member's sets apart.
            return Identification(whole=Keys(keys=route.combine.on, source="merge"))
        members = self._members(route.members)
        taught = None if route.claimed else self.taught_routes.get(route.name)
        if len(route.members) == 1:
            return Identification(whole=members.get(route.members[0], taught))
        if taught is None:
            return Identification(members=members)
        if not members:
            return Identification(whole=taught)
        return Identification(members={member: members.get(member, taught) for member in route.members})

    def _members(self, backends: Iterable[str]) -> dict[str, Keys]:
        found = {backend: self.of_backend(backend) for backend in backends}
        return {backend: keys for backend, keys in found.items() if keys is not None}

    def of_backend(self, backend: str) -> Keys | None:
        """What identifies the sets of a backend, wherever they are used."""
        if keys := self.configured.get(backend):
            return Keys(keys=keys, source="backend")
        if keys := self.declared.get(backend):
            return Keys(keys=keys, source="declared")
        return self.taught_backends.get(backend)

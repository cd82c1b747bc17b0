"""Whether a name may be answered for the first time.

A backend that has never connected may claim any name that its grant covers. A first answer without its sets would
become the baseline, and Argo CD would delete the Applications that come from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import BackendNeverSeen
from hub.service import records

if TYPE_CHECKING:
    from hub.core.routes import Route
    from hub.service.ports import Store

_MAX_CACHED_NAMES = 4096  # Names that are looked up again at the next miss.
_MAX_NAMED = 3  # More backends would not fit into a message.


class Completeness:
    """Refuses names without a baseline while a backend that may serve them has never connected."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: set[str] = set()

    async def check(self, route: Route, application_set_name: str) -> None:
        """Let a name with a baseline pass, and any name once all backends that may serve it have connected.

        Raises:
            BackendNeverSeen: the answer might lack a backend's sets.
            StoreFailed: it cannot be found out.
        """
        if not route.unseen or application_set_name in self._answered:
            return
        if not await self._store.has(records.BASELINES, f"{application_set_name}/"):
            raise BackendNeverSeen(_message(route.unseen))
        if len(self._answered) >= _MAX_CACHED_NAMES:
            self._answered.clear()
        self._answered.add(application_set_name)


def _message(unseen: tuple[str, ...]) -> str:
    names = ", ".join(f'"{backend}"' for backend in unseen[:_MAX_NAMED])
    more = f" and {len(unseen) - _MAX_NAMED} more" if len(unseen) > _MAX_NAMED else ""
    subject, has = ("backend", "has") if len(unseen) == 1 else ("backends", "have")
    return (
        f"{subject} {names}{more} may serve this name and {has} never connected to the hub; Applications are left "
        "unchanged until then. To answer without: set expected: false in hub.yaml, or run: "
        f"appset-hub backends forget {unseen[0]}"
    )

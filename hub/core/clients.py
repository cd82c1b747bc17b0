"""Who may call over HTTP, and for what."""

from __future__ import annotations

import msgspec

from hub.core.errors import NotAllowed
from hub.core.patterns import any_matches

DEFAULT_IN_FLIGHT = 256


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One holder of tokens.

    A token proves which ConfigMap was used, not who wrote the ApplicationSet: its name is only claimed. So what a
    client may ask is limited here, by glob patterns on both.
    """

    name: str
    application_sets: tuple[str, ...] = ("*",)
    routes: tuple[str, ...] = ("*",)
    max_in_flight: int = DEFAULT_IN_FLIGHT

    def check_name(self, application_set_name: str) -> None:
        """Raise ``NotAllowed`` unless this client may ask for the name."""
        if self.application_sets != ("*",) and not any_matches(self.application_sets, application_set_name):
            raise NotAllowed(f'client "{self.name}" may not ask for ApplicationSet "{application_set_name}"')

    def check_route(self, route: str) -> None:
        """Raise ``NotAllowed`` unless this client may use the route."""
        if self.routes != ("*",) and not any_matches(self.routes, route):
            raise NotAllowed(f'client "{self.name}" may not use route "{route}"')

"""From an ``Authorization`` header to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.tokens import TokenRing, authenticate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.clients import Client


class Authentication:
    """Knows the clients' tokens of this moment."""

    def __init__(self, ring: TokenRing[Client], *, anyone: Client | None = None) -> None:
        """``anyone`` is who callers are without a valid token; only a hub for development has that."""
        self._ring = ring
        self._anyone = anyone

    def replace(self, ring: TokenRing[Client], *, anyone: Client | None = None) -> None:
        """Take new tokens, from the next request on."""
        self._ring = ring
        self._anyone = anyone

    def client(self, headers: Mapping[str, str]) -> Client:
        """Who calls, by the headers' lower-case names.

        Raises:
            Forbidden: nobody whom the hub knows.
        """
        if self._anyone is not None:
            return self._anyone
        return authenticate(self._ring, headers.get("authorization"))

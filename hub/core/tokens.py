"""Who holds a token.

The time of a look-up tells nothing about any token: tokens are found by a digest under a key that only this process
knows, and are then compared in constant time.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, TypeVar

from hub.core.errors import TokenMissing, TokenUnresolved, TokenWrong

if TYPE_CHECKING:
    from collections.abc import Iterable

Holder = TypeVar("Holder")


class TokenRing(Generic[Holder]):
    """The tokens of several holders, each of whom may have several."""

    def __init__(self, tokens: Iterable[tuple[str, Holder]], key: bytes) -> None:
        """Take all ``(token, holder)`` pairs; ``key`` is up to 64 random bytes."""
        self._key = key
        self._holders: dict[bytes, tuple[bytes, Holder]] = {}
        for token, holder in tokens:
            self._holders[self._digest(token.encode())] = (token.encode(), holder)

    def __bool__(self) -> bool:
        return bool(self._holders)

    def holder(self, token: str) -> Holder | None:
        """The holder of a token, or ``None``."""
        given = token.encode("utf-8", "surrogateescape")
        found = self._holders.get(self._digest(given))
        if found is None or not hmac.compare_digest(found[0], given):
            return None
        return found[1]

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, digest_size=16, key=self._key).digest()


def bearer(header: str | None) -> str:
    """The token in an ``Authorization`` header.

    Raises:
        TokenMissing: there is no such header, or its scheme is another one.
    """
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    if not token or scheme.lower() != "bearer":
        raise TokenMissing('the request has no bearer token; the ConfigMap\'s "token" names the key that holds it')
    return token


def authenticate(ring: TokenRing[Holder], header: str | None) -> Holder:
    """The holder of the token in an ``Authorization`` header.

    Raises:
        TokenMissing: there is none.
        TokenUnresolved: Argo CD sent the reference, because its Secret has no such key.
        TokenWrong: nobody holds it.
    """
    token = bearer(header)
    holder = ring.holder(token)
    if holder is not None:
        return holder
    if token.startswith("$"):
        raise TokenUnresolved(
            'the token is still a reference ("$…"): the Secret lacks the key that the ConfigMap\'s "token" names, '
            "or the label app.kubernetes.io/part-of: argocd"
        )
    raise TokenWrong("the token is no client's; compare the Secret's key with the hub's token file")

"""Which backend a caller is: by its token, by its client certificate, or by both, as the configuration asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.errors import Forbidden
from hub.core.registration import NotAuthenticated, NotGranted
from hub.core.tokens import TokenRing, bearer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class BackendAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How one backend proves who it is; with both, it needs both, with neither nobody can be it.

    ``certificates`` are names that its client certificate may have, as subject or alternative name.
    """

    backend: str
    tokens: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller showed to be a backend: its metadata ``authorization``, and the names in its certificate."""

    backend: str
    authorization: str | None
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Proof(backend={self.backend!r})"


class Credentials:
    """Knows the backends' tokens and certificates of this moment."""

    def __init__(self, access: Iterable[BackendAccess], key: bytes, *, anyone: bool = False) -> None:
        """``anyone`` lets all callers be any backend; only a hub for development does that."""
        self._key = key
        self._anyone = anyone
        self.replace(access)

    def replace(self, access: Iterable[BackendAccess]) -> None:
        """Take new tokens and certificates, from the next call on."""
        self._access = {one.backend: one for one in access}
        self._ring = TokenRing(
            ((token, one.backend) for one in self._access.values() for token in one.tokens), self._key
        )

    def knows(self, backend: str) -> bool:
        """Whether the configuration has this backend."""
        return backend in self._access

    def check(self, backend: str, authorization: str | None, names: Sequence[str]) -> None:
        """Check that a caller is the backend that it says it is.

        Args:
            backend: which one it says it is.
            authorization: its metadata of that name.
            names: those in its verified client certificate.

        Raises:
            NotAuthenticated: it has no valid credentials.
            NotGranted: they are another backend's, or none is configured under this name.
        """
        if self._anyone:
            return
        access = self._access.get(backend)
        # Callers without any valid credentials learn nothing of which backends there are.
        holder = self._holder(authorization)
        if access is None:
            if holder is None:
                raise NotAuthenticated("no valid credentials")
            raise NotGranted(f'the hub\'s configuration has no backend "{backend}"')
        if not access.tokens and not access.certificates:
            raise NotAuthenticated("no valid credentials")
        if access.tokens and holder is None:
            raise NotAuthenticated(
                "no valid credentials: the metadata authorization must be a bearer token of this hub"
            )
        if access.tokens and holder != backend:
            raise NotGranted(f'these credentials are not those of backend "{backend}"')
        if access.certificates and not set(access.certificates) & set(names):
            raise NotAuthenticated("no valid credentials: the client certificate does not have an expected name")

    def check_known(self, authorization: str | None, names: Sequence[str]) -> None:
        """Check that a caller is one of the backends, whichever, before anything that it says is read.

        Raises:
            NotAuthenticated: it has no valid credentials.
        """
        if self._anyone or self._holder(authorization) is not None:
            return
        # Whether it also needs a token is known once it says who it is; its certificate is of an authority of ours.
        if any(set(one.certificates) & set(names) for one in self._access.values()):
            return
        raise NotAuthenticated("no valid credentials: the metadata authorization must be a bearer token of this hub")

    def _holder(self, authorization: str | None) -> str | None:
        try:
            return self._ring.holder(bearer(authorization))
        except Forbidden:
            return None


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The names in a verified client certificate, as gRPC gives them."""
    return [
        name.decode("utf-8", "replace")
        for key in ("x509_subject_alternative_name", "x509_common_name")
        for name in auth_context.get(key, ())
    ]

"""Requests to one registry with all that they need: a turn, credentials, and what an unchanged answer saves.

The only place that builds the registry's addresses, and that follows a redirect. A repository that the configuration
does not allow never gets into one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from backends.oci.credentials import Credentials
from backends.oci.names import is_allowed, is_repository
from backends.oci.recent import Recent
from backends.oci.wire import RegistryFault, Reply, Wire
from backends.peers import origin_of

if TYPE_CHECKING:
    import aiohttp

    from backends.oci.settings import RegistrySettings

_UNAUTHORIZED = 401
_NOT_MODIFIED = 304
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 3
_MOST_KEPT = 256
_LARGEST_KEPT_BYTES = 256 * 1024


class Asking:
    """Asks one registry, with a bounded number of requests at once."""

    def __init__(self, settings: RegistrySettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._wire = Wire(settings, session)
        self._credentials = Credentials(settings, self._wire)
        self._turns = asyncio.Semaphore(settings.max_in_flight)
        self._kept: Recent[tuple[str, str], Reply] = Recent(_MOST_KEPT)

    @property
    def name(self) -> str:
        """What the configuration calls the registry."""
        return self._settings.name

    def url(self, repository: str, *rest: str) -> str:
        """Return an address below the repository.

        Raises:
            RegistryFault: the configuration does not allow the repository.
        """
        if not is_repository(repository) or not is_allowed(repository, self._settings.repositories):
            raise RegistryFault(self.name, f'may not be asked for "{repository}"; it is not among its repositories')
        return "/".join((self._settings.url, "v2", repository, *rest))

    def is_same_list(self, url: str, first: str) -> bool:
        """Tell whether `url` is another page of what is at `first`."""
        try:
            return origin_of(url.partition("?")[0]) == origin_of(first) and urlsplit(url).path == urlsplit(first).path
        except ValueError:
            return False

    async def head(self, repository: str, url: str, accept: str) -> Reply:
        """Return the reply to HEAD.

        Raises:
            QuestionFailed: there is none.
        """
        async with self._turns:
            return await self._send("HEAD", repository, url, {"Accept": accept})

    async def get(self, repository: str, url: str, accept: str = "application/json") -> Reply:
        """Return the reply to GET; the one from before if the registry says that it still holds.

        Raises:
            QuestionFailed: there is none.
        """
        headers = {"Accept": accept}
        kept = self._kept.get((url, accept))
        if kept is not None:
            headers["If-None-Match"] = kept.headers["ETag"]
        async with self._turns:
            reply = await self._send("GET", repository, url, headers)
        if kept is not None and reply.status == _NOT_MODIFIED:
            return kept
        if reply.status == 200 and "ETag" in reply.headers and len(reply.body) <= _LARGEST_KEPT_BYTES:  # noqa: PLR2004
            self._kept.put((url, accept), reply)
        return reply

    async def get_blob(self, repository: str, digest: str) -> Reply:
        """Return the reply to GET of a blob. Registries may keep those elsewhere; nobody there sees credentials.

        Raises:
            QuestionFailed: there is none, or the registry sends for it where the configuration does not allow.
        """
        async with self._turns:
            reply = await self._send("GET", repository, self.url(repository, "blobs", digest), {})
            for _ in range(_MOST_REDIRECTS):
                if reply.status not in _REDIRECTS:
                    break
                reply = await self._wire.send("GET", self._checked_location(reply), {})
        return reply

    async def _send(self, method: str, repository: str, url: str, headers: dict[str, str]) -> Reply:
        authorization = self._credentials.header(repository)
        reply = await self._wire.send(method, url, _with(headers, authorization))
        if reply.status == _UNAUTHORIZED:
            authorization = await self._credentials.renew(repository, authorization, reply)
            reply = await self._wire.send(method, url, _with(headers, authorization))
        return reply

    def _checked_location(self, reply: Reply) -> str:
        location = urljoin(reply.url, reply.headers.get("Location", ""))
        try:
            origin = origin_of(location.partition("?")[0])
        except ValueError as error:
            raise RegistryFault(self.name, "sends to no address for a blob") from error
        if origin not in self._settings.blob_origins:
            scheme, host, port = origin
            raise RegistryFault(
                self.name, f'sends to "{scheme}://{host}:{port}" for a blob; add it to blob_servers if it may'
            )
        return location


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return {**headers, "Authorization": authorization} if authorization is not None else headers

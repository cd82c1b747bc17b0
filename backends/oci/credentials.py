"""Who we are to a registry: nobody, a user, or the holder of a token that its token server gave (the Docker flow).

A token is for pulling from one repository: what is asked for does not depend on what the registry demands.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from backends.mistakes import Mistake
from backends.oci.challenges import Challenge, parse_challenges
from backends.oci.recent import Recent
from backends.oci.wire import RegistryFault
from backends.peers import origin_of, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.oci.settings import RegistrySettings
    from backends.oci.wire import Reply, Wire

_MOST_TOKENS = 1000
# What the token specification says of a token that does not tell.
_DEFAULT_LIFE_S = 60.0
# A token is let go this much before its end, so that it does not end on its way.
_MARGIN_S = 5.0


class Credentials:
    """The `Authorization` headers of one registry, by repository."""

    def __init__(self, settings: RegistrySettings, wire: Wire, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._wire = wire
        self._clock = clock
        self._held: Recent[str, tuple[str, float]] = Recent(_MOST_TOKENS)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def header(self, repository: str) -> str | None:
        """Return the header that worked last, unless its time is over."""
        held = self._held.get(repository)
        return held[0] if held is not None and self._clock() < held[1] else None

    async def renew(self, repository: str, refused: str | None, reply: Reply) -> str:
        """Return a header in place of the one that was `refused` with `reply`. Who waits beside gets the same.

        Raises:
            RegistryFault: there is none to be had.
        """
        lock = self._locks.setdefault(repository, asyncio.Lock())
        async with lock:
            held = self.header(repository)
            if held is not None and held != refused:
                return held
            header, life_s = await self._obtain(repository, reply)
            self._held.put(repository, (header, self._clock() + life_s))
            return header

    async def _obtain(self, repository: str, reply: Reply) -> tuple[str, float]:
        challenges = {
            challenge.scheme: challenge
            for challenge in reversed(parse_challenges(reply.headers.getall("WWW-Authenticate", [])))
        }
        if "bearer" in challenges:
            return await self._token(repository, challenges["bearer"])
        if "basic" in challenges:
            basic = await self._basic()
            if basic is None:
                raise RegistryFault(self._settings.name, "wants a user; set username_file and password_file")
            return basic, float("inf")
        raise RegistryFault(self._settings.name, "refuses to answer, and does not say what it wants")

    async def _token(self, repository: str, challenge: Challenge) -> tuple[str, float]:
        realm = self._checked_realm(challenge.parameters.get("realm", ""))
        parameters = {"scope": f"repository:{repository}:pull"}
        if "service" in challenge.parameters:
            parameters["service"] = challenge.parameters["service"]
        basic = await self._basic()
        reply = await self._wire.send("GET", realm, {"Authorization": basic} if basic else {}, parameters)
        if reply.status in {401, 403}:
            raise RegistryFault(self._settings.name, f'gives no token for "{repository}" to these credentials')
        answer = reply.json_object() if reply.status == 200 else None  # noqa: PLR2004 - the status that says yes.
        token = (answer or {}).get("token") or (answer or {}).get("access_token")
        if answer is None or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryFault(self._settings.name, f"has a token server that gave none (status {reply.status})")
        life_s = answer.get("expires_in")
        if isinstance(life_s, bool) or not isinstance(life_s, int | float):
            life_s = _DEFAULT_LIFE_S
        return f"Bearer {token}", max(0.0, life_s - _MARGIN_S)

    def _checked_realm(self, realm: str) -> str:
        """Return the token server's address, if the configuration lets it have the credentials."""
        try:
            origin = origin_of(realm.partition("?")[0])
        except ValueError as error:
            raise RegistryFault(self._settings.name, "names no token server that can be asked") from error
        if origin not in self._settings.token_origins or "#" in realm:
            scheme, host, port = origin
            raise RegistryFault(
                self._settings.name, f'names "{scheme}://{host}:{port}" for tokens; add it to token_servers if it may'
            )
        return realm

    async def _basic(self) -> str | None:
        """Return the header of the configured user, as the files say it now."""
        username_file, password_file = self._settings.username_file, self._settings.password_file
        if username_file is None or password_file is None:
            return None
        try:
            username = await asyncio.to_thread(read_secret, username_file)
            password = await asyncio.to_thread(read_secret, password_file)
        except Mistake as mistake:
            raise RegistryFault(self._settings.name, f"cannot be asked: {mistake}") from mistake
        return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

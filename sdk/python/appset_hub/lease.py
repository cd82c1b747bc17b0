"""Keeps a dialled backend registered at one address of the hub.

The hub may forget everything between two calls, so each says everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import grpc

from appset_hub.backoff import Backoff
from appset_hub.channels import REFUSALS, authorization, open_channel
from appset_hub.codec import seconds
from appset_hub.errors import InvalidSettings
from appset_hub.troubles import Complaints, Ending, explain, say_ignored
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from appset_hub.settings import Connection

_log = logging.getLogger("appset_hub")

# A lease is renewed when a third of it has passed: two attempts may fail before it ends.
_RENEWALS_IN_A_LEASE = 3
_SHORTEST_RENEWAL_S = 0.05


class Lease:
    """One address of the hub, and the registration that is kept up there."""

    def __init__(self, target: str, *, connection: Connection, registration: registry_pb2.RegisterRequest) -> None:
        self._target = target
        self._connection = connection
        self._registration = registration
        self._backoff = Backoff(connection.pace)
        self._leaving = asyncio.Event()
        self._registered = False
        self._complaints = Complaints(connection.pace.remind_s)
        self._ignored: tuple[str, ...] = ()
        self.wanted = True
        """Whether the hub's name still leads here. Otherwise the lease is left to end."""

    async def run(self) -> None:
        """Stay registered until `leave` is called, then deregister."""
        while self.wanted and not self._leaving.is_set():
            pause_s = await self._renew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._leaving.wait()
        if self._registered and self._leaving.is_set():
            await self._deregister()

    def leave(self) -> None:
        """Deregister, then end."""
        self._leaving.set()

    async def _renew(self) -> float:
        """Register once; return after how many seconds to do so again."""
        try:
            response = await self._register()
        except (grpc.aio.AioRpcError, InvalidSettings) as error:
            return self._failed(error)
        if not self._registered:
            _log.info("registered with the hub at %s", self._target)
            self._ignored = ()
        self._registered = True
        self._complaints.clear()
        self._backoff.reset()
        self._note_ignored(tuple(response.ignored_application_sets))
        return max(_SHORTEST_RENEWAL_S, seconds(response.ttl) / _RENEWALS_IN_A_LEASE)

    def _note_ignored(self, patterns: tuple[str, ...]) -> None:
        """Log which claims do not count, whenever that changes: a renewal follows the hub's configuration."""
        if patterns != self._ignored:
            self._ignored = patterns
            say_ignored(patterns, self._registration.backend.name, self._target)

    async def _register(self) -> registry_pb2.RegisterResponse:
        # A new connection each time takes up a new token or certificate, and finds a hub that moved.
        async with open_channel(self._target, self._connection) as channel:
            return await registry_pb2_grpc.RegistryServiceStub(channel).Register(
                self._registration, metadata=authorization(self._connection), timeout=self._connection.pace.welcome_s
            )

    async def _deregister(self) -> None:
        backend = self._registration.backend
        request = registry_pb2.DeregisterRequest(name=backend.name, instance=backend.instance)
        try:
            async with open_channel(self._target, self._connection) as channel:
                await registry_pb2_grpc.RegistryServiceStub(channel).Deregister(
                    request, metadata=authorization(self._connection), timeout=self._connection.pace.welcome_s
                )
        except (grpc.aio.AioRpcError, InvalidSettings) as error:
            _log.warning("not deregistered at %s; the lease ends by itself: %s", self._target, self._reason(error))

    def _failed(self, error: grpc.aio.AioRpcError | InvalidSettings) -> float:
        self._registered = False
        reason = self._reason(error)
        if self._complaints.due(reason):
            _log.warning("not registered with the hub at %s, trying again: %s", self._target, reason)
        refused = isinstance(error, InvalidSettings) or error.code() in REFUSALS
        return self._backoff.after_refusal_s() if refused else self._backoff.after_failure_s()

    def _reason(self, error: grpc.aio.AioRpcError | InvalidSettings) -> str:
        if isinstance(error, InvalidSettings):
            return str(error)
        ending = Ending(code=error.code(), details=error.details() or "")
        return explain(ending, self._connection, self._registration.backend.name)

"""Follows the addresses that the hub's name leads to, with one companion for each.

Several replicas share a name. A backend has to be known at each, so what is kept up (a stream or a lease) is kept up
once for every address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Protocol

from appset_hub.endpoints import Endpoint
from appset_hub.troubles import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from appset_hub.settings import Pace

_log = logging.getLogger("appset_hub")


class Companion(Protocol):
    """Keeps something up at one address."""

    wanted: bool

    async def run(self) -> None:
        """Keep it up until told to leave, or no longer wanted and over."""
        ...

    def leave(self) -> None:
        """End in good order."""
        ...


class Resolve(Protocol):
    """Finds the addresses behind a name."""

    async def __call__(self, host: str, port: int, /) -> set[str]:
        """Return them as gRPC targets, or raise `OSError`."""
        ...


class Addresses:
    """The companions of all addresses of one hub."""

    def __init__(self, hub: str, *, pace: Pace, companion: Callable[[str], Companion], resolve: Resolve) -> None:
        self._hub = hub
        self._endpoint = Endpoint.parse(hub, "hub")
        self._resolve_s = pace.resolve_s
        self._complaints = Complaints(pace.remind_s)
        self._companion = companion
        self._resolve = resolve
        self._companions: dict[str, Companion] = {}
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Keep a companion at every address until `leave` is called and all have ended."""
        async with asyncio.TaskGroup() as tasks:
            while not self._leaving.is_set():
                await self._look(tasks)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._resolve_s):
                        await self._leaving.wait()

    def leave(self) -> None:
        """Let every companion end in good order."""
        self._leaving.set()
        for companion in self._companions.values():
            companion.leave()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        try:
            targets = await self._targets()
        except OSError as error:
            # Those that are known stay: a name service that is away says nothing about the hub.
            self._say(str(error.strerror or error))
            return
        self._complaints.clear()
        for target, companion in self._companions.items():
            companion.wanted = target in targets
        if self._leaving.is_set():
            return
        for target in targets - self._companions.keys():
            companion = self._companions[target] = self._companion(target)
            tasks.create_task(self._keep(target, companion))

    def _say(self, reason: str) -> None:
        if self._complaints.due(reason):
            advice = "check the host in hub, and this machine's DNS"
            if self._companions:
                advice = "the addresses that are known stay in use"
            text = 'cannot resolve the hub\'s name "%s", trying again: %s; %s'
            _log.warning(text, self._endpoint.host, reason, advice)

    async def _keep(self, target: str, companion: Companion) -> None:
        try:
            await companion.run()
        finally:
            del self._companions[target]

    async def _targets(self) -> set[str]:
        """Return the addresses as gRPC targets."""
        if self._endpoint.path:
            return {self._endpoint.path}
        return await self._resolve(self._endpoint.host, self._endpoint.port)


async def resolve_by_system(host: str, port: int) -> set[str]:
    """Return what this machine's name service says, as gRPC targets."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {_target(family, str(where[0]), port) for family, _, _, _, where in found}


def _target(family: int, host: str, port: int) -> str:
    """Return an address as gRPC writes it."""
    return f"ipv6:[{host}]:{port}" if family == socket.AF_INET6 else f"ipv4:{host}:{port}"

"""Keeps one stream open to one address of the hub.

A link attaches again whenever its stream ends, until it is told to leave. What is asked on the stream is the
session's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import grpc

from appset_hub.backoff import Backoff
from appset_hub.channels import REFUSALS, authorization, open_channel
from appset_hub.errors import InvalidSettings
from appset_hub.session import Session
from appset_hub.troubles import Complaints, Ending, explain, say_ignored
from appset_hub.v1 import registry_pb2_grpc

if TYPE_CHECKING:
    from appset_hub.asking import Asker
    from appset_hub.settings import Connection
    from appset_hub.v1 import registry_pb2

_log = logging.getLogger("appset_hub")

# A stream that lasted this long was no accident: the next attempt may come quickly.
_STEADY_S = 1.0

# How a stream ends that should not have: a person has to correct something, or an answer is too large.
_NOT_NORMAL = {*REFUSALS, grpc.StatusCode.RESOURCE_EXHAUSTED}


class Attachments:
    """Which stream leads to which process of the hub.

    One process may be found under several addresses (IPv4 and IPv6, say) but takes an instance once: the newest
    stream counts, and a link whose stream it replaced waits until that one is gone, or the two would take turns for
    ever.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        """Set once there has been any."""
        self._sessions: dict[str, Session] = {}

    def attach(self, session: Session) -> None:
        """Note a stream that is attached now; another one to the same process ends in good order."""
        replaced = self._sessions.get(session.hub_instance)
        self._sessions[session.hub_instance] = session
        self.first.set()
        if replaced is not None:
            replaced.leave()

    def detach(self, session: Session) -> None:
        """Note that a stream is over, unless another one replaced it."""
        if self._sessions.get(session.hub_instance) is session:
            del self._sessions[session.hub_instance]

    @property
    def any(self) -> bool:
        """Whether there is a stream now."""
        return bool(self._sessions)

    def has_other(self, session: Session) -> bool:
        """Tell whether another stream leads to the process of this one."""
        return self._sessions.get(session.hub_instance, session) is not session


class Link:
    """One address of the hub, and the stream that is kept open to it."""

    def __init__(
        self,
        target: str,
        *,
        connection: Connection,
        asker: Asker,
        info: registry_pb2.BackendInfo,
        attachments: Attachments,
    ) -> None:
        self._target = target
        self._connection = connection
        self._asker = asker
        self._info = info
        self._attachments = attachments
        self._backoff = Backoff(connection.pace)
        self._session: Session | None = None
        self._open: set[Session] = set()
        self._leaving = asyncio.Event()
        self._complaints = Complaints(connection.pace.remind_s)
        self.wanted = True
        """Whether the hub's name still leads here. Otherwise an open stream is kept, but not replaced."""

    async def run(self) -> None:
        """Stay attached until `leave` is called, or the address is not wanted and its stream over."""
        async with asyncio.TaskGroup() as sessions:
            while self.wanted and not self._leaving.is_set():
                began_s = time.monotonic()
                ending = await self._attach_once(sessions)
                steady = time.monotonic() - began_s > _STEADY_S
                if steady:
                    self._backoff.reset()
                await self._pause(ending, steady=steady)

    def leave(self) -> None:
        """Finish what is in flight, then end."""
        self._leaving.set()
        for session in self._open:
            session.leave()

    async def _attach_once(self, sessions: asyncio.TaskGroup) -> Ending | None:
        """Attach, and return when the stream brings no more questions: with how it ended, or None if it goes on."""
        try:
            metadata = authorization(self._connection)
            channel = open_channel(self._target, self._connection)
        except InvalidSettings as error:
            return Ending(code=grpc.StatusCode.UNAUTHENTICATED, details=str(error), here=True)
        call = registry_pb2_grpc.RegistryServiceStub(channel).Attach(metadata=metadata)
        session = Session(call, self._asker, welcome_s=self._connection.pace.welcome_s, on_welcome=self._welcomed)
        self._session = session
        self._open.add(session)
        sessions.create_task(self._carry(session, channel))
        await session.closing.wait()
        return session.ending

    async def _carry(self, session: Session, channel: grpc.aio.Channel) -> None:
        """Run one session to its end. A drained one goes on beside the next."""
        try:
            await session.run(self._info)
        finally:
            self._open.discard(session)
            self._attachments.detach(session)
            await channel.close()

    def _welcomed(self, session: Session) -> None:
        self._attachments.attach(session)
        self._complaints.clear()
        _log.info('attached to hub "%s" at %s', session.hub_instance, self._target)
        say_ignored(session.ignored, self._info.name, self._target)

    async def _pause(self, ending: Ending | None, *, steady: bool) -> None:
        """Wait before the next attempt, and as long as another link is attached to the same process."""
        refused = ending is not None and ending.code in REFUSALS
        if ending is not None and not self._leaving.is_set():
            self._say(ending, steady=steady)
        await self._wait(self._backoff.after_refusal_s() if refused else self._backoff.after_failure_s())
        session = self._session
        while session is not None and self._attachments.has_other(session) and not self._leaving.is_set():
            await self._wait(self._connection.pace.longest_retry_s)

    async def _wait(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._leaving.wait()

    def _say(self, ending: Ending, *, steady: bool) -> None:
        """Log why this link is not attached. A backend that is attached at another address needs no reminders."""
        reason = explain(ending, self._connection, self._info.name)
        if steady and ending.attached and ending.code not in _NOT_NORMAL:
            # Proxies cut streams, and hubs are restarted. If it cannot attach again, the next attempt says why.
            _log.info("the stream to the hub at %s ended, attaching again: %s", self._target, reason)
            return
        if self._complaints.due(reason, remind=not self._attachments.any):
            _log.warning("not attached to the hub at %s, trying again: %s", self._target, reason)

"""Asks one dialled instance, and notices when it stops answering although its connection is open.

A slow question alone proves nothing. When nothing at all has come from an instance for a while, it gets a health check,
over its connection and then over a fresh one, and only if those fail too are its questions given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import grpc
import grpc.aio
import msgspec

from hub.rpc import codec
from hub.rpc.connection import SILENT_CODES, Connection
from hub.service.ports import InstanceLost, Unresponsive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hub.core.deadline import Deadline
    from hub.rpc.dial import DialSecurity
    from hub.service.ports import Ask, Clock, RawAnswer, Reachability


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long an instance may be silent.

    After ``check_after_s`` without an answer it is checked; each of two checks takes up to ``answer_s``. If it still
    takes connections, it may be a busy process, or a proxy before a frozen one: that is given up after ``give_up_s``.
    ``retry_s`` is the pause between checks of an instance that is not asked.
    """

    check_after_s: float = 5.0
    give_up_s: float = 15.0
    answer_s: float = 2.0
    retry_s: float = 1.0


class Dialler(Protocol):
    """Who made the link."""

    def security(self, backend: str) -> DialSecurity:
        """How a backend is called now."""
        ...

    def start(self, work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Run something until it ends, and again when it fails."""
        ...

    def finish(self, link: DialledLink) -> None:
        """Close a link when what it carries has ended."""
        ...

    def closed(self, link: DialledLink) -> None:
        """The link is gone."""
        ...


class DialledLink:
    """One instance: its connection, which may be replaced, and word of whether it can be reached."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        dialler: Dialler,
        backend: str,
        *,
        connect: Callable[[], Connection],
        observer: Reachability,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self._dialler = dialler
        self._backend = backend
        self._connect = connect
        self._observer: Reachability | None = observer
        self._clock = clock
        self._patience = patience
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0
        self._closing = False
        self._ended = False
        self._given_up = False
        self._silent_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        self._use(connect())

    async def ask(self, ask: Ask, deadline: Deadline) -> RawAnswer:
        """Call the instance; cancelling this call cancels the RPC.

        Raises:
            AskError: there is no answer.
        """
        now_s = self._clock()
        connection, heard = self._connection, False
        if self._was_ready and not connection.ready:
            # It has just broken. Asking would reconnect, and another process may have the address by now.
            if self._observer is not None:
                self._observer.reachable(yes=False)
            raise InstanceLost("its connection broke")
        self._in_flight += 1
        self._idle.clear()
        self._listen(now_s)
        try:
            response = await connection.ask(codec.request(ask), deadline.left_s(now_s), self._metadata(ask.traceparent))
            heard = True
        except grpc.aio.AioRpcError as error:
            heard = error.code() not in SILENT_CODES
            raise self._translated(error, connection) from error
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if heard:
                self._heard()
        return codec.raw_answer(response)

    def _metadata(self, traceparent: str = "") -> list[tuple[str, str]]:
        token = self._dialler.security(self._backend).token
        metadata = [("authorization", f"Bearer {token}")] if token else []
        if traceparent:
            metadata.append(("traceparent", traceparent))
        return metadata

    def _translated(self, error: grpc.aio.AioRpcError, connection: Connection) -> Exception:
        # While the channel is connected it was the backend that said UNAVAILABLE; else the connection broke.
        lost = error.code() is grpc.StatusCode.UNAVAILABLE and not connection.ready
        if lost and self._observer is not None and connection is self._connection:
            self._observer.reachable(yes=False)
        after_s = codec.retry_after_s(error.trailing_metadata())
        return codec.failure(error.code(), error.details() or "", lost=lost, retry_after_s=after_s)

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._was_ready = False
        self._watching = self._dialler.start(lambda: self._watch(connection))

    async def _watch(self, connection: Connection) -> None:
        """Keep the channel connected, and say when it is and when it is not, until cancelled."""
        while self._observer is not None:
            state = connection.channel.get_state(try_to_connect=True)
            self._was_ready = state is grpc.ChannelConnectivity.READY
            self._observer.reachable(yes=self._was_ready)
            await connection.channel.wait_for_state_change(state)

    def _listen(self, now_s: float) -> None:
        """From now on something should be heard."""
        if self._silent_since_s is None:
            self._silent_since_s = now_s
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._patience.check_after_s, self._ring)

    def _heard(self) -> None:
        """Something came; while questions are in flight, more has to."""
        self._silent_since_s = self._clock() if self._in_flight else None

    def _ring(self) -> None:
        self._timer = None
        if self._silent_since_s is None or self._ended or self._checking is not None:
            return
        left_s = self._silent_since_s + self._patience.check_after_s - self._clock()
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._ring)
        else:
            self._checking = self._dialler.start(self._check)
            self._checking.add_done_callback(self._checked)

    def _checked(self, _: asyncio.Task[None]) -> None:
        self._checking = None
        if self._silent_since_s is not None:
            self._ring()

    async def _check(self) -> None:
        """Find out whether the instance still answers; if it does not, wait until it does."""
        while (since_s := self._silent_since_s) is not None and not self._given_up and not self._ended:
            if await self._connection.probe(self._patience.answer_s, self._metadata()) == "answers":
                self._heard()
                return
            if not self._connection.ready:
                self._silent_since_s = None  # The connection broke, which ends its questions, and is known.
                return
            await self._check_over_fresh_one(since_s)
        while self._given_up and not self._closing:
            await self._try_again()

    async def _check_over_fresh_one(self, since_s: float) -> None:
        """Check over a fresh connection, which takes the place of the present one if only that was silent."""
        fresh = self._connect()
        try:
            found = await fresh.probe(self._patience.answer_s, self._metadata())
            if since_s != self._silent_since_s or self._ended:
                return  # An answer has come at last, or the link has ended.
            if found == "answers":
                self._abandon(InstanceLost, "its connection stopped carrying data")
                self._use(fresh)
                self._heard()
            elif found == "nothing" or self._clock() - since_s >= self._patience.give_up_s:
                self._give_up()
        finally:
            if fresh is not self._connection:
                await fresh.close()

    def _give_up(self) -> None:
        self._given_up = True
        if self._observer is not None:
            self._observer.unresponsive()
        self._abandon(Unresponsive, "it does not answer")

    def _abandon(self, kind: type[InstanceLost], text: str) -> None:
        """End what the present connection carries."""
        self._silent_since_s = None
        self._was_ready = False
        self._watching.cancel()
        self._connection.abandon(kind, text)
        self._dialler.start(self._connection.close)

    async def _try_again(self) -> None:
        """See whether the instance answers again."""
        fresh = self._connect()
        try:
            if await fresh.probe(self._patience.answer_s, self._metadata()) == "answers" and not self._closing:
                self._given_up = False
                self._silent_since_s = None
                self._use(fresh)
                return
        finally:
            if fresh is not self._connection:
                await fresh.close()
        await asyncio.sleep(self._patience.retry_s)

    def close(self) -> None:
        """Close the channel when what is in flight has ended, or is given up."""
        if not self._closing:
            self._closing = True
            self._observer = None
            self._dialler.finish(self)

    async def close_when_idle(self) -> None:
        """Wait for what is in flight, and close the channel."""
        await self._idle.wait()
        await self.end()

    async def end(self) -> None:
        """Close the channel now."""
        self._closing = self._ended = True
        self._observer = None
        self._dialler.closed(self)
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._watching, self._checking):
            if task is not None:
                task.cancel()
        await self._connection.close()

"""One attached stream, from its greeting to its end.

Questions come in batches and each becomes a task; whatever is answered when the writer wakes goes out as one message.
Heartbeats go out while nothing else does, if the hub knows them; a hub that stays silent all the same is lost.
Who opens streams, and when, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc

from appset_hub.codec import heartbeat, seconds, take_answers, time_left_s, to_question
from appset_hub.errors import DeadlinePassed, QuestionCancelled, QuestionFailed
from appset_hub.pulse import Pulse, silence_s
from appset_hub.settings import MAX_ANSWER_BYTES, MAX_INPUT_BYTES
from appset_hub.troubles import Ending
from appset_hub.v1 import registry_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from appset_hub.asking import Asker
    from appset_hub.codec import Outcome

_log = logging.getLogger("appset_hub")

_FOR_EVER = float("inf")

_LINGER_S = 0.2
"""How long a leaving session stays for questions that crossed its farewell on the wire."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A question in flight."""

    task: asyncio.Task[None]
    deadline_s: float


class Session:
    """The backend's side of one `Attach` stream.

    `closing` is set as soon as the stream brings no more questions: it was drained, has ended, or never began.
    `ignored` are the claimed patterns that the hub does not grant.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[Any, Any],
        asker: Asker,
        *,
        welcome_s: float,
        on_welcome: Callable[[Session], None],
    ) -> None:
        self._call = call
        self._asker = asker
        self._welcome_s = welcome_s
        self._on_welcome = on_welcome
        self._loop = asyncio.get_running_loop()
        self._max_answer_bytes = MAX_ANSWER_BYTES
        self._asked: dict[int, _Asked] = {}
        # One timer for all of them, set to the earliest deadline: hardly one ever passes.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _FOR_EVER
        self._given_up: set[asyncio.Task[None]] = set()
        self._outbox: deque[tuple[int, Outcome]] = deque()
        self._wake = asyncio.Event()
        self._pulse: Pulse | None = None
        self._beating = False
        self._silent = False
        self._leaving = False
        self.closing = asyncio.Event()
        self.ending: Ending | None = None
        self.hub_instance = ""
        self.ignored: tuple[str, ...] = ()

    async def run(self, hello: registry_pb2.BackendInfo) -> None:
        """Greet the hub and answer its questions until the stream ends; `ending` then says how it did."""
        try:
            ending = await self._converse(hello)
            # A hub that welcomed this session has a name.
            self.ending = replace(self._silence() if self._silent else ending, attached=bool(self.hub_instance))
        finally:
            if self._pulse is not None:
                self._pulse.stop()
            self.closing.set()
            self._call.cancel()
            await self._abandon()

    async def _converse(self, hello: registry_pb2.BackendInfo) -> Ending:
        try:
            if not await self._greet(hello):
                return Ending(code=grpc.StatusCode.UNKNOWN, details="the hub's first message is no welcome")
            await self._serve()
        except grpc.aio.AioRpcError as error:
            return Ending(code=error.code(), details=error.details() or "")
        except TimeoutError:
            return Ending(code=grpc.StatusCode.DEADLINE_EXCEEDED, details="the hub does not answer the greeting")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # gRPC speaks so of a stream that the other side cancelled.
            return Ending(code=grpc.StatusCode.CANCELLED, details="the stream was cancelled")
        return Ending(code=grpc.StatusCode.OK, details="the hub ended the stream")

    def _silence(self) -> Ending:
        patience_s = 0.0 if self._pulse is None else self._pulse.patience_s
        details = f"nothing was heard from the hub for {patience_s:g} s, not even a heartbeat"
        return Ending(code=grpc.StatusCode.UNAVAILABLE, details=details)

    def leave(self) -> None:
        """Ask for no more questions, finish those in flight, then end the stream."""
        self._leaving = True
        self.closing.set()
        self._wake.set()

    async def _greet(self, hello: registry_pb2.BackendInfo) -> bool:
        """Say hello; tell whether the hub's first message was its welcome."""
        async with asyncio.timeout(self._welcome_s):
            greeting = registry_pb2.Hello(backend=hello, heartbeats=True, max_input_bytes=MAX_INPUT_BYTES)
            await self._call.write(registry_pb2.AttachRequest(hello=greeting))
            message = await self._call.read()
        if not isinstance(message, registry_pb2.AttachResponse) or not message.HasField("welcome"):
            return False
        # A hub without a name is taken for one of its own.
        self.hub_instance = message.welcome.hub_instance or f"unnamed-{id(self)}"
        self._max_answer_bytes = message.welcome.max_answer_bytes or MAX_ANSWER_BYTES
        self.ignored = tuple(message.welcome.ignored_application_sets)
        every_s = seconds(message.welcome.heartbeat)
        if every_s > 0:
            self._pulse = Pulse(every_s, beat=self._beat, silent=self._lose)
        self._on_welcome(self)
        return True

    def _beat(self) -> None:
        """Have a heartbeat sent, unless something else is about to be."""
        if self._asked or not self._leaving:  # A session that leaves with nothing in flight only lingers.
            self._beating = True
            self._wake.set()

    def _lose(self) -> None:
        """Give the stream up: whatever is between here and the hub, nothing comes through it."""
        self._silent = True
        self._call.cancel()

    async def _serve(self) -> None:
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _read(self) -> None:
        pulse = self._pulse
        while True:
            message = await self._call.read()
            if pulse is not None:
                pulse.heard = True
            if not isinstance(message, registry_pb2.AttachResponse):  # the end of the stream
                return
            kind = message.WhichOneof("kind")
            if kind == "questions":
                for question in message.questions.questions:
                    self._take(question)
            elif kind == "cancels":
                for question_id in message.cancels.question_ids:
                    self._give_up(question_id, QuestionCancelled("nobody waits for this question any more"))
            elif kind == "heartbeat" and pulse is not None:
                pulse.excuse(seconds(message.heartbeat.silent_for))
            elif kind == "drain":
                self.closing.set()

    def _take(self, question: registry_pb2.Question) -> None:
        """Start on one question. It is in flight before its task runs, and leaves with its one outcome."""
        left_s = time_left_s(question)
        deadline_s = self._loop.time() + left_s
        task = self._loop.create_task(self._answer(question, left_s))
        self._asked[question.id] = _Asked(task=task, deadline_s=deadline_s)
        if deadline_s < self._timer_s:
            self._set_timer(deadline_s)

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._give_up_late) if at_s != _FOR_EVER else None

    def _give_up_late(self) -> None:
        """Give up the questions whose deadline has come: that for which the timer was set, and all before."""
        for question_id in [one for one, asked in self._asked.items() if asked.deadline_s <= self._timer_s]:
            self._give_up(question_id, DeadlinePassed("the hub stopped waiting"))
        self._set_timer(min((asked.deadline_s for asked in self._asked.values()), default=_FOR_EVER))

    async def _answer(self, wire: registry_pb2.Question, left_s: float) -> None:
        outcome: Outcome
        try:
            question = to_question(wire.request, time_left_s=left_s, traceparent=wire.traceparent)
            outcome = await self._asker.ask(
                question, known_digest=wire.request.known_digest, max_bytes=self._max_answer_bytes
            )
        except QuestionFailed as failed:
            outcome = failed
        self._settle(wire.id, outcome)

    def _settle(self, question_id: int, outcome: Outcome) -> _Asked | None:
        """Put down the outcome of a question, unless it has one."""
        asked = self._asked.pop(question_id, None)
        if asked is None:
            return None
        self._outbox.append((question_id, outcome))
        self._wake.set()
        return asked

    def _give_up(self, question_id: int, reason: QuestionFailed) -> None:
        """End a question from outside: its outcome is `reason`, whatever its function still does."""
        asked = self._settle(question_id, reason)
        if asked is not None:
            self._given_up.add(asked.task)
            asked.task.add_done_callback(self._given_up.discard)
            asked.task.cancel()

    async def _write(self) -> None:
        try:
            await self._write_until_left()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            _log.debug("the stream broke; its reader says why")
        except Exception:  # noqa: BLE001 - whatever it is, the stream has to end.
            # A stream on which nothing is answered must not look alive.
            _log.exception("cannot write to the stream; it is given up")
            self._call.cancel()

    async def _write_until_left(self) -> None:
        """Write what is answered; when leaving, say so first and half-close when all is answered."""
        said_leaving = False
        while True:
            if self._leaving and not said_leaving:
                said_leaving = True
                await self._call.write(registry_pb2.AttachRequest(leaving=registry_pb2.Leaving()))
            if self._outbox:
                await self._write_answers()
            elif self._beating:
                self._beating = False
                if self._pulse is not None and not self._pulse.wrote:
                    await self._write_heartbeat()
            elif not await self._more_to_write(said_leaving=said_leaving):
                await self._call.done_writing()
                return

    async def _write_answers(self) -> None:
        message, size_bytes = take_answers(self._outbox)
        if self._pulse is not None:
            silent_s = silence_s(size_bytes)
            if silent_s:
                await self._write_heartbeat(silent_s)
            self._pulse.wrote = True
        await self._call.write(message)

    async def _write_heartbeat(self, silent_s: float = 0.0) -> None:
        if self._pulse is not None:
            self._pulse.wrote = True
        await self._call.write(heartbeat(silent_s))

    async def _more_to_write(self, *, said_leaving: bool) -> bool:
        """Wait until there is something to write; False when a session that leaves has nothing left."""
        self._wake.clear()
        if not said_leaving or self._asked:
            await self._wake.wait()
            return True
        try:
            async with asyncio.timeout(_LINGER_S):
                await self._wake.wait()
        except TimeoutError:
            return bool(self._asked)
        return True

    async def _abandon(self) -> None:
        """Cancel what is in flight: nobody can be told any more."""
        tasks = {one.task for one in self._asked.values()} | self._given_up
        self._asked.clear()
        self._set_timer(_FOR_EVER)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

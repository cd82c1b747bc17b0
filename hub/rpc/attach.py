"""One attached stream: questions out, answers in, both in batches.

A message costs both ends as much as several questions do. So a question goes out at once when no other is on its way;
while others are, it waits a moment for company, or until they are answered. A stream on which nothing else is said
carries heartbeats, if its backend knows them; one that stays silent all the same is lost.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Protocol

import grpc.aio
from appset_hub.v1 import registry_pb2

from hub.rpc import codec
from hub.rpc.handlers import NOT_DECODABLE, UNDECODABLE
from hub.rpc.pulse import Pulse, silence_s
from hub.service.ports import InstanceLost, InvalidInput

if TYPE_CHECKING:
    from hub.core.deadline import Deadline
    from hub.service.ports import Ask, Clock, RawAnswer

    Context = grpc.aio.ServicerContext[registry_pb2.AttachRequest, registry_pb2.AttachResponse]

MAX_BATCH_BYTES = 3 * 1024 * 1024  # The contract says 4 MiB; the rest is for what surrounds the questions' inputs.

_COMPANY_S = 0.001  # From one message to the next, at least, while questions are on their way.

_QUESTION_OVERHEAD_BYTES = 512  # Name, namespace, ids and lengths, at most.

# Of a backend that does not say more: at 4 MiB its gRPC ends the stream.
_MAX_INPUT_BYTES = 4 * 1024 * 1024 - 8 * _QUESTION_OVERHEAD_BYTES


class ProtocolBroken(Exception):
    """The backend sent what the contract does not allow; the text is for its author."""


class Silent(Exception):
    """Nothing was heard from the backend for too long; the text says for how long."""


class Peer(Protocol):
    """Who wants to know what the backend says besides answers."""

    def leaving(self) -> None:
        """It wants no more questions."""
        ...


class Session:
    """The hub's end of one stream; also the link over which its instance is asked."""

    def __init__(self, clock: Clock, *, heartbeat_s: float = 0.0, max_input_bytes: int = 0) -> None:
        """``heartbeat_s``: 0 if the backend knows none. ``max_input_bytes``: 0 if it does not say."""
        self._clock = clock
        self._max_input_bytes = max_input_bytes or _MAX_INPUT_BYTES
        self._pulse = Pulse(heartbeat_s, self)
        self._beating = False
        self._loop = asyncio.get_running_loop()
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[registry_pb2.Answer]] = {}
        self._outbox: list[tuple[int, Ask, Deadline]] = []
        self._cancelled: list[int] = []
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._asked_at_s = -math.inf
        self._closing = False
        self._lost = False
        self._silent = self._loop.create_future()

    async def ask(self, ask: Ask, deadline: Deadline) -> RawAnswer:
        """Ask over the stream; cancelling this call tells the backend.

        Raises:
            AskError: there is no answer.
        """
        if self._lost:
            raise InstanceLost("the stream has ended")
        if len(ask.input_json) > self._max_input_bytes:
            raise InvalidInput(
                f"the input has {len(ask.input_json)} bytes; this backend accepts at most {self._max_input_bytes}"
            )
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[registry_pb2.Answer] = self._loop.create_future()
        self._waiting[number] = future
        self._outbox.append((number, ask, deadline))
        self._call_writer()
        try:
            answer = await future
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        return codec.outcome(answer)

    def close(self) -> None:
        """Ask no more, and end the stream when what is in flight is answered."""
        self._closing = True
        self._wake.set()

    async def run(self, context: Context, peer: Peer, welcome: registry_pb2.Welcome) -> None:
        """Carry questions and answers until either side ends the stream.

        Raises:
            ProtocolBroken: the backend sent what it must not.
            Silent: it sent nothing for too long.
        """
        await context.write(registry_pb2.AttachResponse(welcome=welcome))
        reader = asyncio.ensure_future(self._read(context, peer))
        writer = asyncio.ensure_future(self._write(context))
        self._pulse.start()
        try:
            await asyncio.wait((reader, writer, self._silent), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pulse.stop()
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        for task in (reader, writer):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._silent.done():
            raise Silent(f"it sent nothing for {self._pulse.patience_s:g} s, not even a heartbeat")

    def beat(self) -> None:
        """Send a heartbeat, unless something else is about to be sent."""
        self._beating = True
        self._wake.set()

    def silent(self) -> None:
        """Nothing was heard for too long."""
        if not self._silent.done():
            self._silent.set_result(None)

    def lose(self) -> None:
        """The stream is gone: whoever waits for an answer may ask another instance."""
        self._lost = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(InstanceLost("the stream ended before the answer came"))
        self._waiting.clear()

    async def _read(self, context: Context, peer: Peer) -> None:
        end: Any = grpc.aio.EOF
        pulse = self._pulse
        while (message := await context.read()) is not end:
            pulse.heard = True
            if message is UNDECODABLE:
                raise ProtocolBroken(NOT_DECODABLE)
            match message.WhichOneof("kind"):
                case "answers":
                    self._settle(message.answers.answers)
                case "leaving":
                    peer.leaving()
                case "heartbeat":
                    pulse.excuse(codec.seconds(message.heartbeat.silent_for))
                case "hello":
                    raise ProtocolBroken("hello may be the first message only")
                case _:
                    raise ProtocolBroken("a message of no known kind")

    def _settle(self, answers: Any) -> None:
        for answer in answers:
            future = self._waiting.pop(answer.question_id, None)
            if future is not None:
                if not future.done():
                    future.set_result(answer)
            elif not 0 < answer.question_id <= self._numbers:
                raise ProtocolBroken(f"an answer to question {answer.question_id}, which was never asked")
        if self._closing or (self._outbox and not self._is_busy):
            self._wake.set()

    @property
    def _is_busy(self) -> bool:
        """Whether there are questions on their way, beside those that wait to be sent."""
        return len(self._waiting) > len(self._outbox)

    def _call_writer(self) -> None:
        """Have what waits sent: now, or together with what comes in a moment."""
        if not self._is_busy or self._clock() - self._asked_at_s >= _COMPANY_S:
            self._wake.set()
        elif self._alarm is None:
            self._alarm = self._loop.call_at(self._asked_at_s + _COMPANY_S, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    async def _write(self, context: Context) -> None:
        drained = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._cancelled:
                cancels, self._cancelled = self._cancelled, []
                await context.write(registry_pb2.AttachResponse(cancels=registry_pb2.Cancels(question_ids=cancels)))
                self._pulse.wrote = True
            while self._outbox:
                self._asked_at_s = self._clock()
                message, size_bytes = self._next_batch()
                if message.questions.questions:
                    if wait_s := silence_s(size_bytes):
                        await self._beat(context, wait_s)
                    await context.write(message)
                    self._pulse.wrote = True
            if self._beating:
                self._beating = False
                if not self._pulse.wrote:
                    await self._beat(context)
            if self._closing and not drained:
                drained = True
                await context.write(registry_pb2.AttachResponse(drain=registry_pb2.Drain()))
            if self._closing and not self._waiting:
                return

    async def _beat(self, context: Context, silent_s: float = 0.0) -> None:
        """Send a heartbeat to a backend that knows them."""
        if not self._pulse.patience_s:
            return
        self._pulse.wrote = True
        message = registry_pb2.AttachResponse(heartbeat=registry_pb2.Heartbeat())
        if silent_s:
            codec.fill_duration(message.heartbeat.silent_for, silent_s)
        await context.write(message)

    def _next_batch(self) -> tuple[registry_pb2.AttachResponse, int]:
        """The questions that fit into one message, and about how many bytes that has."""
        message = registry_pb2.AttachResponse()
        batch = message.questions.questions
        now_s, size_bytes, taken = self._clock(), 0, 0
        for number, ask, deadline in self._outbox:
            more_bytes = len(ask.input_json) + _QUESTION_OVERHEAD_BYTES
            if batch and size_bytes + more_bytes > MAX_BATCH_BYTES:
                break
            size_bytes += more_bytes
            taken += 1
            if number in self._waiting:
                codec.fill_question(batch.add(), number, ask, deadline.left_s(now_s))
        del self._outbox[:taken]
        return message, size_bytes

    def _cancel(self, number: int) -> None:
        if self._waiting.pop(number, None) is None:
            return
        if not any(number == queued for queued, _, _ in self._outbox):
            self._cancelled.append(number)
        self._wake.set()

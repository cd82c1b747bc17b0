"""Backends on bare stubs, without the SDK: they say whatever a test wants, right or wrong."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio
from appset_hub.v1 import backend_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

Request = backend_pb2.GetParamsRequest
Answer = registry_pb2.Answer

_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
_BACK_AFTER_S = 0.02


class Cut(Exception):
    """Raised by a behaviour that wants the stream to break instead of an answer."""


def says(parameters_json: bytes, **more: Any) -> Answer:
    """An answer of these bytes."""
    return Answer(response=backend_pb2.GetParamsResponse(parameters_json=parameters_json, **more))


def sets(*one: Mapping[str, Any], **more: Any) -> Answer:
    """An answer of these sets."""
    return says(json.dumps(one, separators=(",", ":")).encode(), **more)


def named(*names: object, **more: Any) -> Answer:
    """An answer of one set for each name."""
    return sets(*({"name": str(name)} for name in names), **more)


def fails(code: grpc.StatusCode | int, message: str = "as scripted") -> Answer:
    """A failure."""
    number = code if isinstance(code, int) else code.value[0]
    return Answer(failure=registry_pb2.Failure(code=number, message=message))


class Stub:
    """One instance of a backend that attaches, and again whenever its stream ended.

    ``behave`` gets each question: what it returns is sent at once, a future when it is done, ``None`` never.
    """

    def __init__(
        self,
        name: str,
        behave: Callable[[Request], Answer | asyncio.Future[Answer] | None],
        *,
        instance: str = "one",
        claims: Sequence[str] = (),
        unique_by: Sequence[str] = (),
        schema: Any = None,
    ) -> None:
        self.name = name
        self.behave = behave
        self.instance = instance
        self.claims = claims
        self.unique_by = unique_by
        self.schema = schema
        self.asked: list[Request] = []
        self.cancelled = 0
        self.attached = asyncio.Event()
        self.cuts = 0
        self._address: Callable[[], str] = str
        self._outbox: list[Answer] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._call: Any = None

    async def start(self, address: Callable[[], str]) -> Self:
        """Attach to the hub that is at the address whenever this attaches."""
        self._address = address
        self._task = asyncio.ensure_future(self._stay())
        await self.attached.wait()
        return self

    async def stop(self) -> None:
        """Be gone."""
        self.attached.clear()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def cut(self) -> None:
        """Break the stream; it comes back."""
        self.cuts += 1
        self.attached.clear()
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def _stay(self) -> None:
        while True:
            with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, Cut):
                try:
                    await self._attach()
                except asyncio.CancelledError:
                    # A cut stream speaks so as well.
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
            self.attached.clear()
            await asyncio.sleep(_BACK_AFTER_S)

    async def _attach(self) -> None:
        async with grpc.aio.insecure_channel(self._address(), options=_OPTIONS) as channel:
            metadata = (("authorization", f"Bearer {self.name}-token"),)
            self._call = call = registry_pb2_grpc.RegistryServiceStub(channel).Attach(metadata=metadata)
            info = registry_pb2.BackendInfo(
                name=self.name,
                instance=self.instance,
                application_sets=self.claims,
                unique_by=self.unique_by,
                input_schema_json=b"" if self.schema is None else json.dumps(self.schema).encode(),
            )
            await call.write(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=info)))
            welcome = await call.read()
            if not isinstance(welcome, registry_pb2.AttachResponse):
                return
            self._outbox, self._wake = [], asyncio.Event()
            self.attached.set()
            writer = asyncio.ensure_future(self._write(call, self._outbox, self._wake))
            try:
                await self._read(call)
            finally:
                self.attached.clear()
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                call.cancel()

    async def _read(self, call: Any) -> None:
        end: Any = grpc.aio.EOF
        while (message := await call.read()) is not end:
            kind = message.WhichOneof("kind")
            if kind == "questions":
                for question in message.questions.questions:
                    self._take(question)
            elif kind == "cancels":
                self.cancelled += len(message.cancels.question_ids)
            elif kind == "drain":
                return

    def _take(self, question: registry_pb2.Question) -> None:
        self.asked.append(question.request)
        outbox, wake, number = self._outbox, self._wake, question.id
        answer = self.behave(question.request)

        def send(made: Answer) -> None:
            answer = Answer()
            answer.CopyFrom(made)  # One answer may be given to several questions.
            answer.question_id = number
            outbox.append(answer)
            wake.set()

        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda done: None if done.cancelled() else send(done.result()))
        elif answer is not None:
            send(answer)

    @staticmethod
    async def _write(call: Any, outbox: list[Answer], wake: asyncio.Event) -> None:
        while True:
            await wake.wait()
            wake.clear()
            while outbox:
                batch: list[Answer] = []
                size = 0
                while outbox and (not batch or size < 1_000_000):
                    batch.append(outbox.pop(0))
                    size += batch[-1].ByteSize()
                await call.write(registry_pb2.AttachRequest(answers=registry_pb2.Answers(answers=batch)))

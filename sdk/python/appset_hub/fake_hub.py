"""A hub for tests: small, obedient, and on the real wire.

It asks what the test asks; it neither authenticates nor checks what it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from appset_hub.channels import message_options
from appset_hub.codec import seconds
from appset_hub.errors import NotReady, failure
from appset_hub.question import Notice, Severity
from appset_hub.settings import MAX_ANSWER_BYTES
from appset_hub.v1 import backend_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_KEEPALIVE_S = 20.0

_SEVERITIES = {
    backend_pb2.Severity.SEVERITY_INFO: Severity.INFO,
    backend_pb2.Severity.SEVERITY_WARNING: Severity.WARNING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """All that a backend says to one question. `parameters` is empty when `not_modified`."""

    parameters: list[dict[str, Any]]
    digest: str
    not_modified: bool
    fresh_for_s: float | None
    notices: tuple[Notice, ...]


class Stream:
    """One attached stream, as the hub sees it."""

    def __init__(self, hello: registry_pb2.BackendInfo, metadata: Mapping[str, str]) -> None:
        self.hello = hello
        self.metadata = metadata
        self.leaving = asyncio.Event()
        self.waiting: dict[int, asyncio.Future[registry_pb2.Answer]] = {}
        self.draining = False
        self.outbox: asyncio.Queue[registry_pb2.AttachResponse | grpc.StatusCode] = asyncio.Queue()

    @property
    def is_open(self) -> bool:
        """Whether it may be asked more."""
        return not self.draining and not self.leaving.is_set()

    def end_if_drained(self) -> None:
        """End the stream in good order, once nothing is in flight."""
        if self.draining and not self.waiting:
            self.outbox.put_nowait(grpc.StatusCode.OK)


class FakeHub(registry_pb2_grpc.RegistryServiceServicer):
    """A hub for tests: it takes every backend that attaches, and asks what it is told to ask.

    `max_answer_bytes` is the limit that it tells them, `ttl_s` the length of the leases that it grants. `streams` are
    those that are open, oldest first; `leases` what was registered, by instance. With a `refusal` it says that.
    `ignored` are the claimed patterns that it tells backends to be outside their grant.
    """

    def __init__(
        self, *, max_answer_bytes: int = MAX_ANSWER_BYTES, instance: str = "fake-hub", ttl_s: float = 30.0
    ) -> None:
        self.streams: list[Stream] = []
        self.leases: dict[str, registry_pb2.RegisterRequest] = {}
        self.registrations = 0
        self.openings = 0
        self.refusals = 0
        self.refusal: grpc.StatusCode | None = None
        self.ignored: tuple[str, ...] = ()
        self._ttl_s = ttl_s
        self.port = 0
        self._max_answer_bytes = max_answer_bytes
        self._instance = instance
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()

    @property
    def address(self) -> str:
        """Where backends find it."""
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[None]:
        """Listen on `port` of this machine inside the block; 0 takes a free one."""
        server = grpc.aio.server(options=[*message_options(_KEEPALIVE_S), ("grpc.so_reuseport", 0)])
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, server)
        where = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = server.add_insecure_port(where)
        else:
            self.port = server.add_secure_port(where, credentials)
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)

    async def ask(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, namespace: str = "", deadline_s: float = 10.0
    ) -> list[dict[str, Any]]:
        """Return the parameter sets that the backend answers for the ApplicationSet `name`.

        Cancelling it tells the backend that nobody waits any more.

        Raises:
            QuestionFailed: there is no answer; its class says why, as in `AppSetHubError`.
        """
        reply = await self.reply(name, parameters, namespace=namespace, deadline_s=deadline_s)
        return reply.parameters

    async def reply(  # noqa: PLR0913 - each is a field of the question.
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        namespace: str = "",
        deadline_s: float = 10.0,
        known_digest: str = "",
        request_id: str = "test",
    ) -> Reply:
        """Return everything that the backend says; as `ask` otherwise."""
        request = backend_pb2.GetParamsRequest(
            application_set_name=name,
            application_set_namespace=namespace,
            input_parameters_json=json.dumps(parameters or {}, sort_keys=True).encode(),
            request_id=request_id,
            known_digest=known_digest,
        )
        return _reply(await self._answer(request, deadline_s))

    async def attached(self, count: int = 1) -> list[Stream]:
        """Wait until `count` streams are open, and return them."""
        await self._until(lambda: len(self.streams) == count)
        return list(self.streams)

    async def opened(self, openings: int) -> None:
        """Wait until `openings` streams were opened in all."""
        await self._until(lambda: self.openings >= openings)

    async def refused(self, refusals: int) -> None:
        """Wait until `refusals` calls were refused in all."""
        await self._until(lambda: self.refusals >= refusals)

    async def registered(self, registrations: int = 1) -> list[registry_pb2.RegisterRequest]:
        """Wait until `registrations` were made in all, renewals included, and return the leases."""
        await self._until(lambda: self.registrations >= registrations)
        return list(self.leases.values())

    async def deregistered(self) -> None:
        """Wait until there is no lease."""
        await self._until(lambda: not self.leases)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(holds)

    def drain(self) -> None:
        """Ask nobody who is attached now, tell them so, and end their streams when what is in flight is answered."""
        for stream in self.streams:
            stream.draining = True
            stream.outbox.put_nowait(registry_pb2.AttachResponse(drain=registry_pb2.Drain()))
            stream.end_if_drained()

    def drop(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """End every stream with `code`, whatever is in flight."""
        for stream in self.streams:
            stream.outbox.put_nowait(code)

    async def _answer(self, request: backend_pb2.GetParamsRequest, deadline_s: float) -> registry_pb2.Answer:
        stream = next((stream for stream in reversed(self.streams) if stream.is_open), None)
        if stream is None:
            raise NotReady("no backend is attached")
        question = registry_pb2.Question(id=next(self._ids), request=request)
        question.time_left.FromNanoseconds(int(deadline_s * 1e9))
        questions = registry_pb2.Questions(questions=[question])
        answered = stream.waiting[question.id] = asyncio.get_running_loop().create_future()
        stream.outbox.put_nowait(registry_pb2.AttachResponse(questions=questions))
        try:
            answer: registry_pb2.Answer = await answered
        except asyncio.CancelledError:
            cancels = registry_pb2.Cancels(question_ids=[question.id])
            stream.outbox.put_nowait(registry_pb2.AttachResponse(cancels=cancels))
            raise
        finally:
            stream.waiting.pop(question.id, None)
            stream.end_if_drained()
        return answer

    async def Register(  # noqa: N802 - as for Attach.
        self, request: registry_pb2.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> registry_pb2.RegisterResponse:
        """Note one lease."""
        if self.refusal is not None:
            await self._refuse(self.refusal, context)
        response = registry_pb2.RegisterResponse(ignored_application_sets=self.ignored)
        response.ttl.FromNanoseconds(int(self._ttl_s * 1e9))
        async with self._changed:
            self.leases[request.backend.instance] = request
            self.registrations += 1
            self._changed.notify_all()
        return response

    async def Deregister(  # noqa: N802 - as for Attach.
        self, request: registry_pb2.DeregisterRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> registry_pb2.DeregisterResponse:
        """End one lease."""
        async with self._changed:
            self.leases.pop(request.instance, None)
            self._changed.notify_all()
        return registry_pb2.DeregisterResponse()

    async def Attach(  # type: ignore[override]  # noqa: N802 - the stubs' name; they do not tell that it is awaited.
        self,
        request_iterator: AsyncIterator[registry_pb2.AttachRequest],
        context: grpc.aio.ServicerContext[registry_pb2.AttachRequest, registry_pb2.AttachResponse],
    ) -> None:
        """Serve one stream."""
        first = await anext(aiter(request_iterator))
        if self.refusal is not None:
            await self._refuse(self.refusal, context)
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        stream = Stream(first.hello.backend, metadata)
        await context.write(self._welcome())
        writer = asyncio.create_task(_write(stream, context))
        reader = asyncio.create_task(_read(stream, request_iterator))
        try:
            await self._note(stream, is_open=True)
            await asyncio.wait([writer, reader], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, reader):
                task.cancel()
            await self._note(stream, is_open=False)
            _lose(stream)
        if writer.done() and not writer.cancelled() and writer.result() is not grpc.StatusCode.OK:
            await context.abort(writer.result(), "the stream was dropped")

    async def _refuse(self, code: grpc.StatusCode, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async with self._changed:
            self.refusals += 1
            self._changed.notify_all()
        await context.abort(code, "the fake hub was told to refuse")

    def _welcome(self) -> registry_pb2.AttachResponse:
        return registry_pb2.AttachResponse(
            welcome=registry_pb2.Welcome(
                hub_instance=self._instance,
                max_in_flight=256,
                max_answer_bytes=self._max_answer_bytes,
                ignored_application_sets=self.ignored,
            )
        )

    async def _note(self, stream: Stream, *, is_open: bool) -> None:
        if is_open:
            self.streams.append(stream)
            self.openings += 1
        else:
            self.streams.remove(stream)
        async with self._changed:
            self._changed.notify_all()


async def _write(
    stream: Stream, context: grpc.aio.ServicerContext[registry_pb2.AttachRequest, registry_pb2.AttachResponse]
) -> grpc.StatusCode:
    """Write what is put into the outbox; return the status with which to drop the stream."""
    while True:
        item = await stream.outbox.get()
        if isinstance(item, grpc.StatusCode):
            return item
        await context.write(item)


async def _read(stream: Stream, requests: AsyncIterator[registry_pb2.AttachRequest]) -> None:
    """Hand on what is answered, until the backend ends the stream."""
    async for message in requests:
        if message.HasField("leaving"):
            stream.leaving.set()
        for answer in message.answers.answers:
            waiting = stream.waiting.get(answer.question_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)


def _lose(stream: Stream) -> None:
    for waiting in stream.waiting.values():
        if not waiting.done():
            waiting.set_exception(NotReady("the stream was lost"))


def _reply(answer: registry_pb2.Answer) -> Reply:
    if answer.HasField("failure"):
        after = answer.failure.retry_after
        raise failure(
            answer.failure.code,
            answer.failure.message,
            seconds(after) if answer.failure.HasField("retry_after") else None,
        )
    response = answer.response
    return Reply(
        parameters=[] if response.not_modified else json.loads(response.parameters_json),
        digest=response.digest,
        not_modified=response.not_modified,
        fresh_for_s=seconds(response.fresh_for) if response.HasField("fresh_for") else None,
        notices=tuple(
            Notice(text=notice.text, severity=_SEVERITIES.get(notice.severity, Severity.WARNING))
            for notice in response.notices
        ),
    )

"""The port for backends on a real socket, in front of real use cases; and backends made of nothing but stubs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from appset_hub.v1 import backend_pb2, backend_pb2_grpc, registry_pb2, registry_pb2_grpc

from hub.rpc.credentials import BackendAccess, Credentials
from hub.rpc.register import Registry
from hub.rpc.server import RpcServer, ServerTls
from tests.support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from hub.core.routes import Route

KEY = b"k" * 32
MAX_ANSWER_BYTES = 1024 * 1024

ACCESS = (
    BackendAccess(backend="images", tokens=("images-token", "images-next")),
    BackendAccess(backend="owners", tokens=("owners-token",)),
)
IMAGES = (("authorization", "Bearer images-token"),)

Metadata = tuple[tuple[str, str], ...]


class Hub:
    """A hub that backends can reach, without HTTP."""

    def __init__(self, service: Service, server: RpcServer, credentials: Credentials, registry: Registry) -> None:
        self.service = service
        self.registry = registry
        self.server = server
        self.credentials = credentials

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"


@asynccontextmanager
async def reachable(
    *routes: Route,
    access: Sequence[BackendAccess] = ACCESS,
    tls: ServerTls | None = None,
    anyone: bool = False,
    heartbeat_s: float = 2.0,
    **limits: Any,
) -> AsyncIterator[Hub]:
    """Serve backends inside the block."""
    service = Service(*routes, **limits)
    credentials = Credentials(access, KEY, anyone=anyone)
    registry = Registry(
        membership=service.membership,
        credentials=credentials,
        events=service.events,
        clock=service.now,
        hub_instance="hub-1",
        max_answer_bytes=MAX_ANSWER_BYTES,
        heartbeat_s=heartbeat_s,
    )
    server = RpcServer(registry, address="127.0.0.1:0", max_answer_bytes=MAX_ANSWER_BYTES, tls=tls)
    async with server:
        yield Hub(service, server, credentials, registry)


def backend_info(**more: Any) -> registry_pb2.BackendInfo:
    return registry_pb2.BackendInfo(**{"name": "images", "instance": "one", "application_sets": ["fb-*"], **more})


def answer(question_id: int, sets_json: bytes = b'[{"a":"1"}]', **more: Any) -> registry_pb2.Answer:
    response = backend_pb2.GetParamsResponse(parameters_json=sets_json, **more)
    return registry_pb2.Answer(question_id=question_id, response=response)


class Attached:
    """One stream, message by message."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def send(self, **kind: Any) -> None:
        await self.call.write(registry_pb2.AttachRequest(**kind))

    async def offer(self, **kind: Any) -> None:
        """As ``send``, to a hub that may have refused the stream before it has read anything."""
        with suppress(grpc.aio.AioRpcError):
            await self.send(**kind)

    async def hello(self, *, heartbeats: bool = False, max_input_bytes: int = 0, **more: Any) -> registry_pb2.Welcome:
        """Attach; returns the welcome."""
        hello = registry_pb2.Hello(backend=backend_info(**more), heartbeats=heartbeats, max_input_bytes=max_input_bytes)
        await self.send(hello=hello)
        message = await self.read()
        assert message.WhichOneof("kind") == "welcome"
        return message.welcome

    async def read(self) -> registry_pb2.AttachResponse:
        message = await self.call.read()
        assert isinstance(message, registry_pb2.AttachResponse), f"the stream has ended: {message}"
        return message

    async def questions(self) -> list[registry_pb2.Question]:
        message = await self.read()
        assert message.WhichOneof("kind") == "questions"
        return list(message.questions.questions)

    async def answer(self, *answers: registry_pb2.Answer) -> None:
        await self.send(answers=registry_pb2.Answers(answers=answers))

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended; nothing may come before."""
        with suppress(grpc.aio.AioRpcError):
            assert await self.call.read() is grpc.aio.EOF
        return await self.call.code(), await self.call.details()


@asynccontextmanager
async def stream(
    hub: Hub, metadata: Metadata = IMAGES, channel: grpc.aio.Channel | None = None
) -> AsyncIterator[Attached]:
    """A stream that has said nothing yet."""
    own = channel or grpc.aio.insecure_channel(hub.address)
    call = registry_pb2_grpc.RegistryServiceStub(own).Attach(metadata=metadata)
    try:
        yield Attached(call)
    finally:
        call.cancel()
        await own.close()


@asynccontextmanager
async def registry(hub: Hub) -> AsyncIterator[Any]:
    """A stub of the registry."""
    async with grpc.aio.insecure_channel(hub.address) as channel:
        yield registry_pb2_grpc.RegistryServiceStub(channel)


class RawBackend(backend_pb2_grpc.BackendServiceServicer):
    """A backend to be dialled, that does what ``behaviour`` does."""

    def __init__(self) -> None:
        self.behaviour: Callable[[backend_pb2.GetParamsRequest, Any], Awaitable[Any]] = self.one
        self.requests: list[backend_pb2.GetParamsRequest] = []
        self.metadata: dict[str, Any] = {}
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.server: grpc.aio.Server | None = None

    async def stop(self) -> None:
        """Break every connection, in the middle of whatever they carry."""
        assert self.server is not None
        await self.server.stop(None)

    async def one(self, _request: backend_pb2.GetParamsRequest, _context: Any) -> backend_pb2.GetParamsResponse:
        return backend_pb2.GetParamsResponse(parameters_json=b'[{"a":"1"}]')

    async def GetParams(  # noqa: N802 - the contract's name
        self, request: backend_pb2.GetParamsRequest, context: Any
    ) -> backend_pb2.GetParamsResponse:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.started.set()
        try:
            response: backend_pb2.GetParamsResponse = await self.behaviour(request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return response


@asynccontextmanager
async def serving(
    backend: RawBackend, *, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """Serve a raw backend; yields its port."""
    server = grpc.aio.server()
    backend_pb2_grpc.add_BackendServiceServicer_to_server(backend, server)
    where = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(where) if credentials is None else server.add_secure_port(where, credentials)
    await server.start()
    backend.server = server
    try:
        yield bound
    finally:
        await server.stop(None)

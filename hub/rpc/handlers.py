"""How the gRPC port takes calls: who calls comes before what they say.

gRPC reads the request of a unary method before it calls its handler, and buffers up to 68 MiB for it. So every method
is a stream to gRPC here, which is the same on the wire: its handler runs as soon as the call's head is there, and reads
a message only from callers that are known. The health service and reflection answer anyone, so few of their messages
are read at a time, and none for long.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from appset_hub.v1 import registry_pb2
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

    from hub.rpc.register import Registry

UNDECODABLE = object()
"""In place of a message that is not the protobuf that it should be."""

NOT_DECODABLE = "the message is not protobuf, or too large"

_REGISTRATION_BYTES = 1024 * 1024  # A schema, a hundred patterns, and what surrounds them.
_OPEN_BYTES = 4096
_AT_ONCE = 2  # Of each service that answers anyone: what is read of their messages is bounded by this.
_WAIT_S = 5.0
_READ_S = 1.0
_REFLECT_S = 10.0

_REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name


def decoder(kind: type[Message], max_bytes: int) -> Callable[[bytes], Any]:
    """Decodes one kind of messages; what cannot be decoded is ``UNDECODABLE``, or gRPC would end the call by itself."""

    def decoded(data: bytes) -> Any:
        if len(data) > max_bytes:
            return UNDECODABLE
        try:
            return kind.FromString(data)
        except DecodeError:
            return UNDECODABLE

    return decoded


def registry_handler(registry: Registry) -> grpc.GenericRpcHandler:
    """The registry's methods."""
    methods = {
        "Attach": grpc.stream_stream_rpc_method_handler(
            registry.Attach,
            decoder(registry_pb2.AttachRequest, sys.maxsize),
            registry_pb2.AttachResponse.SerializeToString,
        ),
        "Register": grpc.stream_unary_rpc_method_handler(
            registry.Register,
            decoder(registry_pb2.RegisterRequest, _REGISTRATION_BYTES),
            registry_pb2.RegisterResponse.SerializeToString,
        ),
        "Deregister": grpc.stream_unary_rpc_method_handler(
            registry.Deregister,
            decoder(registry_pb2.DeregisterRequest, _REGISTRATION_BYTES),
            registry_pb2.DeregisterResponse.SerializeToString,
        ),
    }
    return grpc.method_handlers_generic_handler(_REGISTRY, methods)


class OpenServices:
    """The health service and reflection, for callers that show nothing: few at a time, and none for long."""

    def __init__(self, health: Any, reflection: Any) -> None:
        self._health = health
        self._reflection = reflection
        self._checks = asyncio.Semaphore(_AT_ONCE)
        self._reflections = asyncio.Semaphore(_AT_ONCE)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Their methods."""
        request, response = (
            decoder(health_pb2.HealthCheckRequest, _OPEN_BYTES),
            health_pb2.HealthCheckResponse.SerializeToString,
        )
        health = {
            "Check": grpc.stream_unary_rpc_method_handler(self._check, request, response),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch, request, response),
        }
        reflection = {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                self._reflect,
                decoder(reflection_pb2.ServerReflectionRequest, _OPEN_BYTES),
                reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
        }
        return (
            grpc.method_handlers_generic_handler(_HEALTH, health),
            grpc.method_handlers_generic_handler(_REFLECTION, reflection),
        )

    async def _check(self, _: Any, context: Any) -> Any:
        return await self._health.Check(await self._asked(context), context)

    async def _watch(self, _: Any, context: Any) -> None:
        await self._health.Watch(await self._asked(context), context)

    async def _asked(self, context: Any) -> Any:
        async with _turn(self._checks, context):
            return await read(context, within_s=_READ_S)

    async def _reflect(self, _: Any, context: Any) -> None:
        async with _turn(self._reflections, context):
            try:
                async with asyncio.timeout(_REFLECT_S):
                    async for response in self._reflection.ServerReflectionInfo(_all(context), context):
                        await context.write(response)
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"reflection ends after {_REFLECT_S:g} s")


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore, context: Any) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_WAIT_S):
            await turns.acquire()
    except TimeoutError:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many such calls at the same time")
    try:
        yield
    finally:
        turns.release()


async def _all(context: Any) -> AsyncIterator[Any]:
    while (message := await context.read()) is not grpc.aio.EOF:
        if message is UNDECODABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, NOT_DECODABLE)
        yield message


async def read(context: Any, *, within_s: float) -> Any:
    """The one message of a call; the call ends with INVALID_ARGUMENT if it does not come, or cannot be decoded."""
    message: Any = grpc.aio.EOF
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            message = await context.read()
    if message is grpc.aio.EOF:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no message came within {within_s:g} s")
    if message is UNDECODABLE:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, NOT_DECODABLE)
    return message

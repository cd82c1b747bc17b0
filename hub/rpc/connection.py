"""One channel to an instance: carries questions, and finds out whether the instance still answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import grpc
import grpc.aio
from appset_hub.v1 import backend_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appset_hub.v1 import backend_pb2

    from hub.service.ports import AskError

    Metadata = Sequence[tuple[str, str]]

SILENT_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
"""What gRPC, or a proxy, says for a backend that says nothing."""

Found = Literal["answers", "connects", "nothing"]


class Connection:
    """A channel that can be abandoned with all that it carries."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._get_params = backend_pb2_grpc.BackendServiceStub(channel).GetParams
        self._check = health_pb2_grpc.HealthStub(channel).Check
        self._calls: set[Any] = set()
        self._abandoned: tuple[type[AskError], str] | None = None

    @property
    def ready(self) -> bool:
        """Whether it is connected; to a proxy, perhaps."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def ask(
        self, request: backend_pb2.GetParamsRequest, timeout_s: float, metadata: Metadata
    ) -> backend_pb2.GetParamsResponse:
        """Carry one question.

        Raises:
            AioRpcError: it has no answer.
            AskError: what ``abandon`` was given.
        """
        if self._abandoned is not None:
            raise _error(self._abandoned)
        call = self._get_params(request, timeout=timeout_s, metadata=metadata)
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if self._abandoned is None or _is_cancelled():
                raise
            # Only the call was cancelled, and not the task that asks.
            raise _error(self._abandoned) from None
        finally:
            self._calls.discard(call)

    async def probe(self, within_s: float, metadata: Metadata) -> Found:
        """Send a health check, and wait for the connection if necessary. Any reply is a sign of life.

        A server without a health service says UNIMPLEMENTED, which is one as well.
        """
        try:
            await self._check(
                health_pb2.HealthCheckRequest(), timeout=within_s, wait_for_ready=True, metadata=tuple(metadata)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() in SILENT_CODES:
                return "connects" if self.ready else "nothing"
        return "answers"

    def abandon(self, kind: type[AskError], text: str) -> None:
        """End every question that it carries, and each that still comes, with an error."""
        self._abandoned = kind, text
        for call in tuple(self._calls):
            call.cancel()

    async def close(self) -> None:
        """Close the channel now."""
        await self.channel.close()


def _error(abandoned: tuple[type[AskError], str]) -> AskError:
    kind, text = abandoned
    return kind(text)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""A health service that does what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # It comes without types.
    """A health service that counts its calls, and answers as it is told."""

    def __init__(self, answers: str = "serving") -> None:
        self.answers = answers
        self.calls = 0
        self.metadata: dict[str, Any] = {}

    async def Check(self, _request: Any, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802 - the stubs' name.
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        if self.answers == "nothing":
            await asyncio.Event().wait()
        if self.answers == "unavailable":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "upstream request timeout")
        serving = self.answers == "serving"
        return health_pb2.HealthCheckResponse(
            status=health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )

"""How a dialled backend is called, and how it tells the hub where it is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from appset_hub import (
    Answer,
    Backend,
    Connection,
    InvalidInput,
    InvalidSettings,
    NotReady,
    Pace,
    Question,
    run,
    running,
)
from appset_hub.testing import FakeHub
from appset_hub.v1 import backend_pb2, backend_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appset_hub import Function

QUICK = Pace(first_retry_s=0.01, longest_retry_s=0.05, refused_retry_s=0.01)


async def branch(question: Question) -> list[dict[str, Any]]:
    return [{"branch": question.parameters["branch"]}]


def backend(function: Function = branch) -> Backend:
    return Backend(function=function, name="images", instance="one")


def request(**more: Any) -> backend_pb2.GetParamsRequest:
    return backend_pb2.GetParamsRequest(
        **{"application_set_name": "fb-1", "input_parameters_json": b'{"branch":"a"}', **more}
    )


@contextlib.asynccontextmanager
async def dialled(function: Function = branch) -> AsyncIterator[grpc.aio.Channel]:
    async with running(backend(function), Connection(listen="127.0.0.1:0")) as served:
        port = await served.port()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel


async def test_a_question_over_a_call_is_answered_as_over_a_stream() -> None:
    async def function(question: Question) -> Answer:
        assert 4 < question.time_left_s() < 6
        return Answer(parameters=await branch(question), fresh_for_s=3)

    async with dialled(function) as channel:
        stub = backend_pb2_grpc.BackendServiceStub(channel)
        response = await stub.GetParams(request(), timeout=5)
        again = await stub.GetParams(request(known_digest=response.digest), timeout=5)
    assert (response.parameters_json, response.fresh_for.seconds) == (b'[{"branch":"a"}]', 3)
    assert (again.not_modified, again.parameters_json) == (True, b"")


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        pytest.param(InvalidInput("no", path="$.branch"), grpc.StatusCode.INVALID_ARGUMENT, "$.branch: no", id="input"),
        pytest.param(NotReady("cold"), grpc.StatusCode.UNAVAILABLE, "cold", id="not ready"),
        pytest.param(
            ValueError("hunter2"),
            grpc.StatusCode.INTERNAL,
            "the function failed with ValueError; the backend's log has the details",
            id="anything else",
        ),
        pytest.param(
            SystemExit(2),
            grpc.StatusCode.INTERNAL,
            "the function called sys.exit; the backend's log has the details",
            id="sys.exit",
        ),
    ],
)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])
async def test_a_failure_is_a_status(
    error: BaseException, code: grpc.StatusCode, details: str, *, is_async: bool
) -> None:
    def plain(_question: Question) -> list[dict[str, Any]]:
        raise error

    async def coroutine(question: Question) -> list[dict[str, Any]]:
        return plain(question)

    async with dialled(coroutine if is_async else plain) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await backend_pb2_grpc.BackendServiceStub(channel).GetParams(request())
    assert (caught.value.code(), caught.value.details()) == (code, details)


@pytest.mark.parametrize(
    ("after_s", "trailing"),
    [
        pytest.param(7, "7.000", id="seconds"),
        pytest.param(0.25, "0.250", id="a fraction"),
        pytest.param(None, None, id="nothing"),
        pytest.param(-1, None, id="a negative number"),
        pytest.param(float("nan"), None, id="not a number"),
    ],
)
async def test_when_to_retry_is_in_the_trailing_metadata(after_s: float | None, trailing: str | None) -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise NotReady("rate limited", retry_after_s=after_s)

    async with dialled(function) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await backend_pb2_grpc.BackendServiceStub(channel).GetParams(request())
    said = {key: value for key, value in caught.value.trailing_metadata() or () if key == "retry-after"}
    assert said == ({} if trailing is None else {"retry-after": trailing})


@pytest.mark.parametrize("by", ["the deadline", "the caller"])
async def test_the_function_is_cancelled_by(by: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def function(_question: Question) -> list[dict[str, Any]]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    async with dialled(function) as channel:
        call = backend_pb2_grpc.BackendServiceStub(channel).GetParams(
            request(), timeout=0.1 if by == "the deadline" else None
        )
        waiting = asyncio.ensure_future(call)
        await started.wait()
        if by == "the caller":
            call.cancel()
        await cancelled.wait()
        await asyncio.wait([waiting])


async def test_health_and_reflection_are_served() -> None:
    async with dialled() as channel:
        for service in ("", "appset_hub.v1.BackendService"):
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        [listed] = [
            message
            async for message in stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
        ]
    assert "appset_hub.v1.BackendService" in {one.name for one in listed.list_services_response.service}


async def test_a_lease_is_renewed_in_full_and_given_back() -> None:
    hub = FakeHub(ttl_s=0.2)
    async with hub.serving():
        connection = Connection(hub=hub.address, listen="127.0.0.1:0", address="images:50051")
        async with running(backend(), connection):
            for renewals in (1, 3):
                [lease] = await hub.registered(renewals)
                assert (lease.address, lease.backend.name, lease.backend.instance) == ("images:50051", "images", "one")
        assert hub.leases == {}


async def test_a_hub_that_forgot_is_told_again_soon() -> None:
    hub = FakeHub(ttl_s=0.2)
    async with hub.serving():
        connection = Connection(hub=hub.address, listen="127.0.0.1:0", address="images:50051", pace=QUICK)
        async with running(backend(), connection), asyncio.timeout(2):
            await hub.registered(1)
            hub.refusal = grpc.StatusCode.UNAVAILABLE
            await hub.refused(2)
            hub.leases.clear()
            hub.refusal = None
            await hub.registered(hub.registrations + 1)
            assert list(hub.leases) == ["one"]


async def test_leaving_gives_the_lease_back_first_and_finishes_what_is_in_flight() -> None:
    hub, started, gate = FakeHub(), asyncio.Event(), asyncio.Event()

    async def function(_question: Question) -> list[dict[str, Any]]:
        started.set()
        await gate.wait()
        return [{"leases": len(hub.leases)}]

    async with hub.serving(), contextlib.AsyncExitStack() as block:
        connection = Connection(hub=hub.address, listen="127.0.0.1:0", address="images:50051")
        served = await block.enter_async_context(running(backend(function), connection))
        await hub.registered()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await served.port()}") as channel:
            answer = asyncio.ensure_future(backend_pb2_grpc.BackendServiceStub(channel).GetParams(request()))
            await started.wait()
            leaving = asyncio.create_task(block.aclose())
            await hub.deregistered()
            gate.set()
            response = await answer
            await leaving
    assert response.parameters_json == b'[{"leases":0}]'


async def test_a_port_that_is_taken_is_a_mistake_that_names_it() -> None:
    async with running(backend(), Connection(listen="127.0.0.1:0")) as served:
        port = await served.port()
        with pytest.raises(InvalidSettings, match=f'listen: cannot listen on "127.0.0.1:{port}"'):
            await run(backend(), Connection(listen=f"127.0.0.1:{port}"))

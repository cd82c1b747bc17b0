"""Who shows no credentials takes no memory of the hub, whatever is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from appset_hub.v1 import registry_pb2, registry_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.support.rig import Hub, Rig

MIB = 1024 * 1024
MESSAGE_BYTES = 16 * MIB
CALLERS = 10
MAX_GROWTH_BYTES = 200 * MIB  # Of 160 MiB that are sent in each kind of call; it was 870 MiB.


def peak_bytes(hub: Hub) -> int:
    status = Path(f"/proc/{hub.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def attach(channel: grpc.Channel, text: str) -> Any:
    hello = registry_pb2.Hello(backend=registry_pb2.BackendInfo(name=text))
    message = registry_pb2.AttachRequest(hello=hello)
    return list(registry_pb2_grpc.RegistryServiceStub(channel).Attach(iter([message]), timeout=20))


def register(channel: grpc.Channel, text: str) -> Any:
    request = registry_pb2.RegisterRequest(address=text)
    return registry_pb2_grpc.RegistryServiceStub(channel).Register(request, timeout=20)


def deregister(channel: grpc.Channel, text: str) -> Any:
    request = registry_pb2.DeregisterRequest(name=text)
    return registry_pb2_grpc.RegistryServiceStub(channel).Deregister(request, timeout=20)


def check(channel: grpc.Channel, text: str) -> Any:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=text), timeout=20)


def reflect(channel: grpc.Channel, text: str) -> Any:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=text)
    return list(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=20))


@pytest.mark.parametrize("call", [attach, register, deregister, check, reflect], ids=lambda call: str(call.__name__))
def test_large_first_messages_of_strangers_take_no_memory(
    stranded: Hub, call: Callable[[grpc.Channel, str], Any]
) -> None:
    before_bytes = peak_bytes(stranded)

    def send(_: int) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(stranded.grpc_address, options) as channel, suppress(grpc.RpcError):
            call(channel, "x" * MESSAGE_BYTES)

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(send, range(CALLERS)))
    grown_bytes = peak_bytes(stranded) - before_bytes
    print(f"{call.__name__}: {grown_bytes / MIB:.0f} MiB")  # noqa: T201 - a figure of the docs.
    assert grown_bytes < MAX_GROWTH_BYTES
    assert stranded.ask("x-1").status == 404


@pytest.fixture(scope="module")
def stranded(shared_rig: Rig) -> Hub:
    shared_rig.configure(backends=[shared_rig.backend("images", application_sets=["fb-*"])])
    return shared_rig.hub()

"""A backend cannot send the hub to the hub's own machine, where another process would answer in its name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

from tests.trust.hubs import Site, WallClock, until
from tests.trust.test_dialled import Backend, Names, port, serving

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["port"]  # A fixture.

HERE = "127.0.0.2"


async def register(site: Site, address: str) -> grpc.StatusCode:
    """What the hub says to a backend that registers this address."""
    async with grpc.aio.insecure_channel(site.grpc_address) as channel:
        info = registry_pb2.BackendInfo(name="images", instance="one", application_sets=["c-*"])
        request = registry_pb2.RegisterRequest(backend=info, address=address)
        metadata = (("authorization", "Bearer images-token"),)
        try:
            await registry_pb2_grpc.RegistryServiceStub(channel).Register(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


async def started(folder: Path, names: Names, *addresses: str) -> Site:
    site = Site(folder, WallClock())
    site.configure(
        backends={"images": {"application_sets": ["c-*"], "addresses": [*addresses]}},
        dial={"resolve_every": "1s"},
    )
    with mock.patch("hub.main.wiring.SystemResolver", return_value=names):
        await site.start()
    return site


@pytest.mark.parametrize("spelling", ["127.0.0.2", "[::ffff:127.0.0.2]", "dns:///127.0.0.2", "ipv4:127.0.0.2"])
async def test_a_backend_cannot_send_the_hub_to_its_own_machine(tmp_path: Path, port: int, spelling: str) -> None:
    site = await started(tmp_path, Names(), f"*:{port}")
    try:
        async with serving(Backend("stranger"), HERE, port):
            said = await register(site, f"{spelling}:{port}")
            assert said in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)
            async with site.caller() as caller:
                assert (await caller.ask("c-one", {})).verdict.is_error
    finally:
        await site.stop()


async def test_a_name_cannot_send_the_hub_to_its_own_machine(tmp_path: Path, port: int) -> None:
    names = Names()
    names.hosts = (HERE,)
    site = await started(tmp_path, names, f"*.svc:{port}")
    try:
        async with serving(Backend("stranger"), HERE, port):
            assert await register(site, f"images.svc:{port}") is grpc.StatusCode.OK
            await until(lambda: bool(names.asked), "the name was looked up")
            async with site.caller() as caller:
                assert (await caller.ask("c-one", {})).status == 503
    finally:
        await site.stop()

"""Backends that prove who they are with certificates, alone or beside a token."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

from hub.rpc.credentials import BackendAccess
from hub.rpc.server import ServerTls
from tests.support.certificates import Authority
from tests.support.rpc import IMAGES, Hub, backend_info, reachable, stream
from tests.support.service import route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

HELLO = registry_pb2.Hello(backend=backend_info())


class Files:
    """What the certificate files of the port hold at the moment."""

    def __init__(self, authority: Authority, *, clients: bool) -> None:
        self.authority = authority
        self._client_ca = authority.ca_pem if clients else None
        self.renew("localhost")

    def renew(self, name: str) -> None:
        self._pair = self.authority.pair(name)

    def load(self) -> tuple[bytes, bytes, bytes | None]:
        key, chain = self._pair
        return key, chain, self._client_ca


@asynccontextmanager
async def secured(files: Files, *access: BackendAccess) -> AsyncIterator[Hub]:
    async with reachable(route(), access=access, tls=ServerTls(files.load)) as hub:
        yield hub


def channel(hub: Hub, credentials: grpc.ChannelCredentials, name: str = "localhost") -> grpc.aio.Channel:
    options: Sequence[tuple[str, Any]] = (
        ("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1),
    )  # fmt: skip
    return grpc.aio.secure_channel(hub.address, credentials, options=options)


BY_CERTIFICATE = BackendAccess(backend="images", certificates=("images.example",))
BY_BOTH = BackendAccess(backend="images", certificates=("images.example",), tokens=("images-token",))


@pytest.mark.parametrize(
    ("access", "name", "metadata", "code"),
    [
        (BY_CERTIFICATE, "images.example", (), None),
        (BY_CERTIFICATE, "images.example", IMAGES, None),
        (BY_CERTIFICATE, "owners.example", (), grpc.StatusCode.UNAUTHENTICATED),
        (BY_BOTH, "images.example", IMAGES, None),
        (BY_BOTH, "images.example", (), grpc.StatusCode.UNAUTHENTICATED),
        (BY_BOTH, "owners.example", IMAGES, grpc.StatusCode.UNAUTHENTICATED),
    ],
    ids=["its certificate", "a token that is not asked for", "another's certificate", "both", "both, without a token",
         "both, with another's certificate"],
)  # fmt: skip
async def test_a_certificate_counts_as_the_configuration_asks(
    access: BackendAccess, name: str, metadata: Any, code: grpc.StatusCode | None
) -> None:
    files = Files(Authority(), clients=True)
    async with (
        secured(files, access) as hub,
        stream(hub, metadata, channel(hub, files.authority.channel(name))) as attached,
    ):
        if code is None:
            await attached.hello()
        else:
            await attached.offer(hello=HELLO)
            assert (await attached.ended())[0] is code


@pytest.mark.parametrize("who", ["nobody", "another authority's"])
async def test_without_a_certificate_of_the_authority_nobody_gets_in(who: str) -> None:
    files = Files(Authority(), clients=True)
    stranger = Authority()
    key, chain = stranger.pair("images.example") if who != "nobody" else (None, None)
    credentials = grpc.ssl_channel_credentials(files.authority.ca_pem, key, chain)
    async with secured(files, BY_CERTIFICATE) as hub, channel(hub, credentials) as own:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await registry_pb2_grpc.RegistryServiceStub(own).Deregister(registry_pb2.DeregisterRequest(), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_token_is_enough_where_no_certificate_is_asked_for() -> None:
    files = Files(Authority(), clients=False)
    access = BackendAccess(backend="images", tokens=("images-token",))
    async with (
        secured(files, access) as hub,
        stream(hub, IMAGES, channel(hub, files.authority.channel())) as attached,
    ):
        await attached.hello()


async def test_a_renewed_certificate_is_shown_to_the_next_who_connects() -> None:
    files = Files(Authority(), clients=False)
    access = BackendAccess(backend="images", tokens=("images-token",))
    async with (
        secured(files, access) as hub,
        stream(hub, IMAGES, channel(hub, files.authority.channel())) as before,
    ):
        await before.hello()
        files.renew("renewed.example")
        async with stream(hub, IMAGES, channel(hub, files.authority.channel(), "renewed.example")) as now:
            await now.hello(instance="two")
            assert len(hub.service.directory.instances("images")) == 2

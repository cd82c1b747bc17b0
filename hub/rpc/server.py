"""The gRPC port: the registry, the standard health service, and reflection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio
from appset_hub.v1 import registry_pb2
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from hub.rpc.handlers import OpenServices, registry_handler
from hub.rpc.options import keepalive, message_sizes, strangers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from hub.rpc.register import Registry

_STOP_GRACE_S = 1.0

_REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name


class CannotListen(Exception):
    """The address is taken, or not ours; the text names it."""


class ServerTls:
    """Certificates of the gRPC port, read again for every handshake that finds them changed.

    ``load`` gives (key, chain, client CA or ``None``) in PEM.
    """

    def __init__(self, load: Callable[[], tuple[bytes, bytes, bytes | None]]) -> None:
        self._load = load
        self._last = load()

    def credentials(self) -> grpc.ServerCredentials:
        """For the server; with a client CA every caller must have a certificate of it."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._changed,  # type: ignore[arg-type]  # None says "unchanged"; the published types miss it.
            require_client_authentication=self._last[2] is not None,
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, chain, client_ca = self._last
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=client_ca)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        loaded = self._load()
        if loaded == self._last:
            return None
        self._last = loaded
        return self._configuration()


class RpcServer:
    """Listens while its context lasts."""

    def __init__(
        self,
        registry: Registry,
        *,
        address: str,
        max_answer_bytes: int,
        tls: ServerTls | None,
    ) -> None:
        self._address = address
        # Without SO_REUSEPORT a second hub on the same port fails at once, instead of taking half of the backends.
        options = [*keepalive(), *message_sizes(max_answer_bytes), *strangers(), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options)
        self._health = health.aio.HealthServicer()
        names = (_REGISTRY, health.SERVICE_NAME, reflection.SERVICE_NAME)
        open_to_anyone = OpenServices(self._health, reflection.aio.ReflectionServicer(names))
        self._server.add_generic_rpc_handlers((registry_handler(registry), *open_to_anyone.handlers()))
        self._tls = tls
        self.port = 0

    async def serving(self, *, yes: bool) -> None:
        """Tell the health service's callers."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if yes else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)
        await self._health.set(_REGISTRY, status)

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            CannotListen: the address is taken, or not ours.
        """
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(self._address)
            else:
                self.port = self._server.add_secure_port(self._address, self._tls.credentials())
        except RuntimeError as error:
            raise CannotListen(f"cannot listen for gRPC on {self._address}") from error
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._server.stop(_STOP_GRACE_S)

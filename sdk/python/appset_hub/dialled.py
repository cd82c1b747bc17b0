"""A backend that is dialled: a gRPC server of its own, and leases that tell the hub where it is."""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import grpc

from appset_hub.channels import message_options
from appset_hub.codec import RETRY_AFTER, fill_response, retry_after_s, to_question
from appset_hub.endpoints import Endpoint
from appset_hub.errors import InvalidSettings, QuestionFailed
from appset_hub.files import read_file
from appset_hub.settings import MAX_ANSWER_BYTES
from appset_hub.v1 import backend_pb2, backend_pb2_grpc

if TYPE_CHECKING:
    from appset_hub.addresses import Addresses
    from appset_hub.asking import Asker
    from appset_hub.settings import Connection

_log = logging.getLogger("appset_hub")

_SERVICE = "appset_hub.v1.BackendService"

_STATUSES: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}

_Context = grpc.aio.ServicerContext[backend_pb2.GetParamsRequest, backend_pb2.GetParamsResponse]


class _Servicer(backend_pb2_grpc.BackendServiceServicer):
    """Answers one call at a time; gRPC cancels it when the hub does, and when its deadline passes."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def GetParams(  # noqa: N802 - the stubs' name.
        self, request: backend_pb2.GetParamsRequest, context: _Context
    ) -> backend_pb2.GetParamsResponse:
        left_s = context.time_remaining()
        try:
            question = to_question(
                request,
                time_left_s=float("inf") if left_s is None else left_s,
                traceparent=_traceparent(context),
            )
            encoded = await self._asker.ask(question, known_digest=request.known_digest, max_bytes=MAX_ANSWER_BYTES)
        except QuestionFailed as failed:
            after_s = retry_after_s(failed)
            trailing = () if after_s is None else ((RETRY_AFTER, f"{after_s:.3f}"),)
            await context.abort(_STATUSES[failed.code], failed.message, trailing)
        response = backend_pb2.GetParamsResponse()
        fill_response(response, encoded)
        return response


class Dialled:
    """The server of a dialled backend, with its leases if it registers by itself.

    `listening` gets the port once the server listens.
    """

    def __init__(
        self, asker: Asker, connection: Connection, *, leases: Addresses | None, listening: asyncio.Future[int]
    ) -> None:
        self._asker = asker
        self._connection = connection
        self._leases = leases
        self._leaving = asyncio.Event()
        self._listening = listening

    async def run(self) -> None:
        """Serve until `leave` is called and what is in flight is finished."""
        server = self._server()
        health = await _add_health(server)
        port = self._bind(server)
        await server.start()
        self._listening.set_result(port)
        _log.info("listening on port %d", port)
        try:
            await self._until_leaving()
            if health is not None:
                await health.enter_graceful_shutdown()
            await server.stop(self._connection.grace_s)
        finally:
            await server.stop(None)

    def leave(self) -> None:
        """Deregister and take no more calls."""
        self._leaving.set()
        if self._leases is not None:
            self._leases.leave()

    async def _until_leaving(self) -> None:
        # Deregistering comes first: the hub then dials no more, and nothing is refused.
        if self._leases is not None:
            await self._leases.run()
        await self._leaving.wait()

    def _server(self) -> grpc.aio.Server:
        options = [
            *message_options(self._connection.pace.keepalive_s),
            # The hub pings as it likes.
            ("grpc.http2.min_ping_recv_interval_without_data_ms", 1000),
            # A second process on the same port is a mistake, not a second worker.
            ("grpc.so_reuseport", 0),
        ]
        server = grpc.aio.server(options=options)
        backend_pb2_grpc.add_BackendServiceServicer_to_server(_Servicer(self._asker), server)
        return server

    def _bind(self, server: grpc.aio.Server) -> int:
        listen = self._connection.listen or ""
        endpoint = Endpoint.parse(listen, "listen")
        where = endpoint.path or (f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host or "[::]")
        if not endpoint.path:
            where += f":{endpoint.port}"
        try:
            if self._connection.cert_file is None:
                return server.add_insecure_port(where)
            return server.add_secure_port(where, _credentials(self._connection))
        except RuntimeError as error:
            raise InvalidSettings(f'listen: cannot listen on "{listen}"; is something else there?') from error


def _credentials(connection: Connection) -> grpc.ServerCredentials:
    """Return credentials that follow their files, for a certificate is renewed while the backend runs."""
    latest = _certificates(connection)

    def current() -> grpc.ServerCertificateConfiguration:
        nonlocal latest
        try:
            latest = _certificates(connection)
        except InvalidSettings as error:
            _log.warning("the certificate stays as it is: %s", error)
        return latest

    return grpc.dynamic_ssl_server_credentials(
        latest, current, require_client_authentication=connection.client_ca_file is not None
    )


def _certificates(connection: Connection) -> grpc.ServerCertificateConfiguration:
    ca_file = connection.client_ca_file
    return grpc.ssl_server_certificate_configuration(
        [(read_file(connection.key_file or "", "key_file"), read_file(connection.cert_file or "", "cert_file"))],
        root_certificates=None if ca_file is None else read_file(ca_file, "client_ca_file"),
    )


async def _add_health(server: grpc.aio.Server) -> Any:
    """Add the health service and reflection, each if its package is there; return the health servicer."""
    names = [_SERVICE]
    servicer = None
    if find_spec("grpc_health") is not None:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # noqa: PLC0415 - optional.

        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        names.append(health.SERVICE_NAME)
        for name in ("", _SERVICE):
            await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    if find_spec("grpc_reflection") is not None:
        from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - optional.

        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    return servicer


def _traceparent(context: _Context) -> str:
    metadata = context.invocation_metadata() or ()
    return next((str(value) for key, value in metadata if key == "traceparent"), "")

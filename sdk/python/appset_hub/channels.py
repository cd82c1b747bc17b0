"""How connections to the hub are opened, and with what credentials.

Everything that a file holds is read again for each connection, so that a new token or certificate needs no restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from appset_hub.endpoints import Endpoint
from appset_hub.files import read_file, read_token
from appset_hub.proxies import proxy_options

if TYPE_CHECKING:
    from appset_hub.settings import Connection

Options = list[tuple[str, int | str]]

REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""What the hub says when trying again helps only after somebody mended a configuration."""


def message_options(keepalive_s: float) -> Options:
    """Return the gRPC options that both ends of a connection share."""
    return [
        # Sizes are limited by what was agreed on the stream, with an error that says so.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", int(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive_s * 500)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def open_channel(target: str, connection: Connection) -> grpc.aio.Channel:
    """Return a new channel to `target`, one address of the hub."""
    options = [
        *message_options(connection.pace.keepalive_s),
        # Each attempt is a new one: with shared connections gRPC would add its own, longer pauses.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        *proxy_options(connection),
    ]
    if connection.ca_file is None:
        return grpc.aio.insecure_channel(target, options=options)
    # The certificate names the hub, not the one address of it.
    host = Endpoint.parse(connection.hub or "", "hub").host
    if host:
        options += [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
    return grpc.aio.secure_channel(target, _credentials(connection), options=options)


def _credentials(connection: Connection) -> grpc.ChannelCredentials:
    own = connection.cert_file is not None and connection.key_file is not None
    return grpc.ssl_channel_credentials(
        root_certificates=read_file(connection.ca_file or "", "ca_file"),
        private_key=read_file(connection.key_file or "", "key_file") if own else None,
        certificate_chain=read_file(connection.cert_file or "", "cert_file") if own else None,
    )


def authorization(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call to the hub."""
    if connection.token_file is None:
        return ()
    return (("authorization", f"Bearer {read_token(connection.token_file)}"),)

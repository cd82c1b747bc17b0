"""A certificate authority for one test."""

from __future__ import annotations

import datetime as dt

import grpc
import trustme


class Authority:
    """Signs what a test needs."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def ca_pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def pair(self, name: str, *, until: int | None = None) -> tuple[bytes, bytes]:
        """Key and chain, PEM; ``until`` is the year in which the certificate expired."""
        expiry = None if until is None else dt.datetime(until, 1, 1, tzinfo=dt.UTC)
        issued = self._ca.issue_cert(name, not_after=expiry)
        return issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems)

    def server(self, name: str, *, clients: bool) -> grpc.ServerCredentials:
        """For a server of this name; ``clients`` must have a certificate of this authority too."""
        return grpc.ssl_server_credentials(
            [self.pair(name)], root_certificates=self.ca_pem if clients else None, require_client_auth=clients
        )

    def channel(self, name: str = "") -> grpc.ChannelCredentials:
        """For a client that trusts this authority, and shows a certificate of this name if there is one."""
        key, chain = self.pair(name) if name else (None, None)
        return grpc.ssl_channel_credentials(self.ca_pem, key, chain)

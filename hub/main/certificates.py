"""Certificates of the ports, as their files are now."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.settings import TlsFiles


class Certificates:
    """The files of a port's certificate, as the configuration of this moment names them."""

    def __init__(self, files: TlsFiles | None) -> None:
        """``files`` may be replaced at any time; ``None`` is for a port without TLS."""
        self.files = files

    def load(self) -> tuple[bytes, bytes, bytes | None]:
        """Key, chain and client CA, as PEM."""
        files = self.files
        assert files is not None  # noqa: S101 - only a server with TLS asks.
        client_ca = Path(files.client_ca).read_bytes() if files.client_ca else None
        return Path(files.key).read_bytes(), Path(files.certificate).read_bytes(), client_ca


def server_context(files: TlsFiles | None) -> ssl.SSLContext | None:
    """The context of a port, or ``None`` for one without TLS."""
    if files is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificates(context, files)
    return context


def load_certificates(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Put the files' contents in force, for the handshakes from now on."""
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED

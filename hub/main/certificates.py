"""What the ports prove themselves with, and by which CA they check their clients."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

from hub.config.certificates import expiry_doubt
from hub.config.mistakes import ConfigurationError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hub.core.settings import Settings, TlsFiles


class Certificates:
    """A port's certificate, key and client CA, as the configuration in force has them."""

    def __init__(self, files: TlsFiles | None) -> None:
        """``files`` may be replaced at any time; ``None`` is for a port without TLS."""
        self.files = files

    def load(self) -> tuple[bytes, bytes, bytes | None]:
        """Key, chain and client CA, as PEM."""
        files = self.files
        assert files is not None  # noqa: S101 - only a server with TLS asks.
        return files.key_pem, files.certificate_pem, files.client_ca_pem or None


def check_new(port: str, new: TlsFiles | None, in_force: TlsFiles | None) -> None:
    """Check that a certificate that a reload brings can be used now; the one in force stays whatever its time.

    Raises:
        ConfigurationError: it has expired, or is not valid yet.
    """
    if new is None or (in_force is not None and new.certificate_pem == in_force.certificate_pem):
        return
    doubt = expiry_doubt(new.certificate_pem, time.time())
    if doubt is not None:
        raise ConfigurationError([Mistake(path=f"tls.{port}.certificate", reason=f'"{new.certificate}": {doubt}')])


def in_use(ports: Mapping[str, TlsFiles | None], settings: Settings) -> Iterator[tuple[str, bytes]]:
    """The certificates of ports and backends, and the CAs of either, as PEM, by setting; empty where it names none.

    Backends are called by their names, since their numbers change with every new one.
    """
    for port, files in ports.items():
        if files is not None:
            yield f"tls.{port}.certificate", files.certificate_pem
            yield f"tls.{port}.client_ca", files.client_ca_pem
    for one in settings.backends:
        place = f"backends.{one.grant.backend}.call_tls"
        yield f"{place}.certificate", one.call_certificate or b""
        yield f"{place}.ca", one.call_ca or b""


def server_context(port: str, files: TlsFiles | None) -> ssl.SSLContext | None:
    """A new context for a port, or ``None`` for one without TLS.

    New, and not the one before with other files: that would go on trusting every CA that it ever had, and would resume
    sessions of clients that it verified by them.

    Raises:
        ConfigurationError: the files have changed since they were checked.
    """
    if files is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca_pem:
            context.load_verify_locations(cadata=files.client_ca_pem.decode("ascii", "replace"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise ConfigurationError([Mistake(path=f"tls.{port}", reason=f"cannot be loaded: {error}")]) from error
    return context

"""How commands talk to a hub: one HTTP request, and every way in which it can fail in words.

Nothing here goes through a proxy or follows a redirect: either would send a token to a place that was not named.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from hub.cli.options import could_not_find_out, decoded, failed, wrong_use
from hub.cli.urls import hub_url

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

T = TypeVar("T")

_OK = 200
_FIRST_SERVER_ERROR = 500
_NO_SUCH_PATH = "unknown_path"
_INVALID = "invalid_request"
_OTHER_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.

# The first that fits.
_REASONS = {
    ssl.SSLError: "it does not speak TLS as expected; if the port has no TLS, use http://",
    socket.gaierror: "the host name cannot be resolved",
    ConnectionRefusedError: "connection refused; nothing listens there",
    ConnectionError: "it closed the connection; if the port has TLS, use https://",
    http.client.HTTPException: "it did not answer in HTTP; if the port has TLS, use https://",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of a hub.

    ``found`` says how its address was found, and ``timeout_s`` bounds each wait for the network. A hub over TLS shows a
    certificate for its host that a CA in ``ca_file`` signed; or, if there is a ``certificate`` (PEM), that very one,
    whatever the host: a hub on this machine need not have one for 127.0.0.1.
    """

    url: str
    found: str
    timeout_s: float
    ca_file: Path | None = None
    certificate: str = ""
    ca_option: str = "--ca-file"

    @property
    def is_pinned(self) -> bool:
        """Whether only one certificate will do."""
        return bool(self.certificate) and self.ca_file is None

    def __str__(self) -> str:
        return f"{self.url} ({self.found})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: a status, and a whole body."""

    status: int
    kind: str
    body: bytes


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of every reply of a hub that is not a 200; ``error`` is the reason code."""

    message: str
    error: str


def send(port: Port, method: str, path: str, *, body: Any = None, token: str = "") -> Reply:
    """Send one request; ends the command if no reply comes back."""
    where = _parse(port.url)
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None
    if body is not None:
        data = msgspec.json.encode(body)
        headers["Content-Type"] = "application/json"
    connection = _connection(where, port)
    try:
        connection.request(method, where.path.rstrip("/") + path, body=data, headers=headers)
        response = connection.getresponse()
        return Reply(status=response.status, kind=response.getheader("Content-Type", ""), body=response.read())
    except (http.client.InvalidURL, UnicodeError):
        wrong_use(f'"{port.url}" cannot be used as a URL')
    except (OSError, http.client.HTTPException) as error:
        could_not_find_out(f"cannot reach the hub at {port}: {_reason(error, port)}")
    finally:
        connection.close()


def _parse(url: str) -> SplitResult:
    try:
        return hub_url(url, "http://127.0.0.1:4357")
    except ValueError as error:
        wrong_use(str(error))


def _connection(where: SplitResult, port: Port) -> http.client.HTTPConnection:
    host = where.hostname or ""
    if where.scheme == "http":
        return http.client.HTTPConnection(host, where.port or 80, timeout=port.timeout_s)
    try:
        if port.is_pinned:
            context = ssl.create_default_context(cadata=port.certificate)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.check_hostname = False
        else:
            context = ssl.create_default_context(cafile=port.ca_file)
    except ssl.SSLError:
        wrong_use(f'cannot use "{port.ca_file or port.found}" as a CA: it holds no PEM certificate')
    except OSError as error:
        wrong_use(f'cannot read "{port.ca_file}": {error.strerror}')
    return http.client.HTTPSConnection(host, where.port or 443, timeout=port.timeout_s, context=context)


def _reason(error: OSError | http.client.HTTPException, port: Port) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {port.timeout_s:g} s; see --timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return "its certificate is for other names than this host; use a URL with one of those"
        problem = f"not trusted ({error.verify_message})"
        if port.is_pinned:
            problem = "another one than the configuration names"
        return f"its certificate is {problem}; name its CA with {port.ca_option}"
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    return str(error)


def ask(  # noqa: PLR0913 - a request's parts
    port: Port, method: str, path: str, kind: type[T], *, body: Any = None, token: str = ""
) -> T:
    """Send one request to an admin port and read its answer; ends the command if there is none.

    A 5xx is neither a yes nor a no, and neither is a path that is missing: that is another port, or another version.
    """
    reply = send(port, method, path, body=body, token=token)
    if reply.status == _OK:
        return read(reply, kind, port)
    said = refusal(reply)
    if said is None:
        _not_a_hub(port, reply)
    text = f"{reply.status}: {said.message}"
    if said.error == _INVALID:
        wrong_use(text)
    if reply.status >= _FIRST_SERVER_ERROR or said.error == _NO_SUCH_PATH:
        could_not_find_out(f"{text} ({port.url})")
    return failed(text)


def glance(port: Port, path: str, kind: type[T]) -> T | None:
    """Read from an admin port that has answered before; ``None`` unless it has such a document."""
    reply = send(port, "GET", path)
    try:
        return decoded(reply.body, kind) if reply.status == _OK else None
    except (msgspec.DecodeError, UnicodeError):
        return None


def read(reply: Reply, kind: type[T], port: Port) -> T:
    """The document of a 200."""
    try:
        return decoded(reply.body, kind)
    except (msgspec.DecodeError, UnicodeError):
        _not_a_hub(port, reply)


def refusal(reply: Reply) -> Refusal | None:
    """What the hub said, or ``None`` if it was not a hub that said it."""
    try:
        return decoded(reply.body, Refusal)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _not_a_hub(port: Port, reply: Reply) -> NoReturn:
    what = reply.kind.partition(";")[0] or "no content type"
    could_not_find_out(
        f"what answers at {port} is not this port of a hub: status {reply.status}, {what}; check the address"
    )

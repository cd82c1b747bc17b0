"""Why a backend is not connected to the hub and what to do about it, in words, and how often that is logged."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from appset_hub.endpoints import HUB_PORT, OTHER_PORTS, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from appset_hub.settings import Connection

_log = logging.getLogger("appset_hub")

_MOST_REASONS = 5
"""How many different reasons are logged within one reminder's time: their text may hold something that changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a call or a stream ended. `code` is that of gRPC.

    `here`: it never reached the network, because a file of this backend cannot be used. `attached`: the hub had taken
    this backend before.
    """

    code: grpc.StatusCode
    details: str
    here: bool = False
    attached: bool = False


class Complaints:
    """Decides when a reason is logged: at once when it is new, then again every `remind_s` while it lasts."""

    def __init__(self, remind_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._remind_s = remind_s
        self._clock = clock
        self._said_s: dict[str, float] = {}

    def due(self, reason: str, *, remind: bool = True) -> bool:
        """Whether to log the reason now. Without `remind` it is logged only once, until `clear`."""
        now_s = self._clock()
        if remind:
            self._said_s = {one: at_s for one, at_s in self._said_s.items() if now_s - at_s < self._remind_s}
        if reason in self._said_s or len(self._said_s) >= _MOST_REASONS:
            return False
        self._said_s[reason] = now_s
        return True

    def clear(self) -> None:
        """The trouble is over: whatever comes next is new."""
        self._said_s.clear()


def say_ignored(patterns: tuple[str, ...], backend: str, target: str) -> None:
    """Log the claimed patterns that do not count at a hub; nothing when all of them may."""
    if patterns:
        _log.warning(
            'the hub at %s ignores the claim %s: its configuration does not grant it to backend "%s"; matching names '
            "get a 404 unless a route serves them; %s",
            target,
            ", ".join(f'"{pattern}"' for pattern in patterns),
            backend,
            f'add the pattern to application_sets of backend "{backend}" in hub.yaml, or remove it from the backend',
        )


def explain(ending: Ending, connection: Connection, backend: str) -> str:
    """Return what happened and what to do, in one line that is the same for the same trouble."""
    if ending.here:
        return ending.details
    explained = _refusal(ending, connection, backend) or _connect_failure(ending, connection)
    return f"{explained} ({ending.code.name})" if explained else f"{ending.code.name}: {ending.details}"


def _refusal(ending: Ending, connection: Connection, backend: str) -> str:
    said = f"the hub says: {ending.details}"
    match ending.code:
        case grpc.StatusCode.UNAUTHENTICATED if connection.token_file is None and connection.cert_file is None:
            return (
                "the hub requires credentials, and this backend has none: set token_file to the file with the token of "
                f'backend "{backend}"; {said}'
            )
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return (
                f'the hub rejected this backend\'s {_credentials(connection)}: compare with backend "{backend}" in the '
                f"hub's configuration; a corrected file is read at the next retry; {said}"
            )
        case grpc.StatusCode.INVALID_ARGUMENT:
            return f"the hub rejected this backend's registration: correct its settings; {said}"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"another gRPC service answered, not a hub: correct the port in hub ({HUB_PORT} by default)"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return (
                f"no answer within {connection.pace.welcome_s:g} s: check host and port, and what is in between, "
                "such as a firewall, a NetworkPolicy or a proxy"
            )
    return ""


def _credentials(connection: Connection) -> str:
    """Return what the hub may have disliked."""
    parts = ["name"]
    if connection.address is not None:
        parts.append(f'address "{connection.address}"')
    if connection.cert_file is not None:
        parts.append(f'certificate ("{connection.cert_file}")')
    token = "token (none is set)" if connection.token_file is None else f'token ("{connection.token_file}")'
    return " or ".join([token, *reversed(parts)])


def _connect_failure(ending: Ending, connection: Connection) -> str:
    """Recognise what gRPC's core says of a connection that did not come about; empty for anything else."""
    for pattern, text in _FAILURES:
        found = re.search(pattern, ending.details)
        if found is not None:
            return text(connection, ending.details[found.end() :].strip(" :"))
    return ""


def _refused(_connection: Connection, _rest: str) -> str:
    return "connection refused: no hub listens there yet, or it uses another port"


def _http_server(connection: Connection, _rest: str) -> str:
    return f"an HTTP server answered, not the hub's gRPC port: {_right_port(connection)}"


def _right_port(connection: Connection) -> str:
    port = Endpoint.parse(connection.hub or "", "hub").port
    wrong = f"{OTHER_PORTS[port]}; " if port in OTHER_PORTS else ""
    return f"{wrong}use the port of listen.grpc, {HUB_PORT} by default"


def _no_tls(connection: Connection, _rest: str) -> str:
    return (
        "the port does not speak TLS, but ca_file turns TLS on: remove ca_file, set tls.grpc in the hub's "
        f"configuration, or {_right_port(connection)}"
    )


def _unknown_authority(connection: Connection, rest: str) -> str:
    why = rest.removesuffix(": OK")
    return (
        f'the hub\'s certificate cannot be verified with ca_file ("{connection.ca_file}": {why}): '
        "compare it with the CA that signed the certificate"
    )


def _other_name(connection: Connection, _rest: str) -> str:
    host = Endpoint.parse(connection.hub or "", "hub").host
    return f'the hub\'s certificate is not valid for "{host}": use a name in hub that is in the certificate'


def _closed(connection: Connection, _rest: str) -> str:
    if connection.ca_file is None:
        return "the port closed the connection at once: if it speaks TLS (tls.grpc of the hub), set ca_file"
    if connection.cert_file is None:
        return "the hub ended the TLS handshake: if it requires client certificates, set cert_file and key_file"
    return "the hub ended the TLS handshake: it may not trust the certificate in cert_file"


def _no_socket(_connection: Connection, _rest: str) -> str:
    return "there is no such socket: no hub listens there yet, or under another path"


_FAILURES: tuple[tuple[str, Callable[[Connection, str], str]], ...] = (
    ("http1.x server", _http_server),
    ("WRONG_VERSION_NUMBER", _no_tls),
    ("CERTIFICATE_VERIFY_FAILED", _unknown_authority),
    ("Hostname Verification|Peer name", _other_name),
    ("Connection refused", _refused),
    ("failed to connect.*Socket closed", _closed),
    ("failed to connect.*unix:.*No such file", _no_socket),
)

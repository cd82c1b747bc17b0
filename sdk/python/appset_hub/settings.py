"""Who a backend is, where it connects, and how fast it comes back: all that `serve` needs to know.

Values that check themselves when they are made. Secrets come as file names, and are read by whoever connects.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appset_hub.errors import InvalidSettings
from appset_hub.nesting import MAX_LEVELS, is_deeper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appset_hub.question import Function

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_LONGEST_TEXT_BYTES = 128
_LARGEST_PORT = 65535
_DEEP_SCHEMA = f"input_schema: nested deeper than {MAX_LEVELS} levels"

DEFAULT_HUB = "localhost:4356"
"""Where `serve` looks for a hub unless it is told: one on this machine."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The largest answer where no hub said so: the hub's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A function, and what the hub is told about it.

    `name`: the backend's name in the hub's configuration, a DNS-1123 label.
    `application_sets`: the claim, glob patterns on the names of ApplicationSets; it counts only inside what the
    hub's configuration grants. Empty: the backend serves the routes that name it.
    `version`: your own, for operators. `instance`: unique for one process; made up when empty.
    `input_schema`: a JSON Schema (2020-12) of the input; the hub checks it before it asks.
    `max_in_flight`: how many questions to have at once; 0 leaves that to the hub. A plain function has as many threads.
    """

    function: Function
    name: str
    application_sets: Sequence[str] = ()
    version: str = ""
    instance: str = ""
    input_schema: Mapping[str, Any] | None = None
    max_in_flight: int = 0

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidSettings(f"function: {type(self.function).__name__} cannot be called")
        if not _DNS_LABEL.match(self.name):
            raise InvalidSettings(
                f'name: "{self.name}" must be lower-case letters, digits and "-", at most 63, as in a DNS name'
            )
        if isinstance(self.application_sets, str):
            raise InvalidSettings(f'application_sets: must be a list of patterns, such as ["{self.application_sets}"]')
        if self.max_in_flight < 0:
            raise InvalidSettings("max_in_flight: must not be negative")
        for key in ("version", "instance"):
            if len(getattr(self, key).encode()) > _LONGEST_TEXT_BYTES:
                raise InvalidSettings(f"{key}: must be at most {_LONGEST_TEXT_BYTES} bytes")
        self.input_schema_json()

    def input_schema_json(self) -> bytes:
        """Return the schema as it travels; empty when there is none."""
        if self.input_schema is None:
            return b""
        try:
            text = json.dumps(self.input_schema, allow_nan=False)
        except RecursionError as error:
            raise InvalidSettings(_DEEP_SCHEMA) from error
        except (TypeError, ValueError) as error:
            raise InvalidSettings(f"input_schema: no JSON: {error}") from error
        if is_deeper(self.input_schema):
            raise InvalidSettings(_DEEP_SCHEMA)
        return text.encode()


def new_instance() -> str:
    """Return an instance name that no other process has: host, process and some chance."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a backend notices and comes back.

    `first_retry_s`, `longest_retry_s`: the pause before a new attempt doubles from the one to the other, and each is
    shortened by chance to as little as half. The hub answers again within a second of its restart only if the longest
    is below that.
    `refused_retry_s`: the pause after the hub said no to this backend, which somebody has to mend first.
    `welcome_s`: how long the hub may take to answer the greeting.
    `resolve_s`: how often the hub's name is looked up for replicas that came or went.
    `keepalive_s`: how long a silent connection goes unchecked; a dead one is dropped after half as long again.
    """

    first_retry_s: float = 0.1
    longest_retry_s: float = 0.8
    refused_retry_s: float = 5.0
    welcome_s: float = 5.0
    resolve_s: float = 5.0
    keepalive_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a backend connects, and with what credentials.

    Attached: `hub` alone, `host:port` or `unix:/path`. The backend opens the connection; nothing needs to reach it.
    Dialled: `listen`, as `host:port` or `:port`; port 0 takes a free one. With `hub` and `address` the backend tells
    the hub where it is; without, the hub's configuration has to.

    `token_file`: holds the token that the hub expects; read again at every connection.
    `ca_file`: whom to believe that it is the hub. It turns TLS to the hub on.
    `cert_file`, `key_file`: this backend's certificate, for the hub (if TLS is on) and for those who dial it.
    `client_ca_file`: when dialled, only callers with a certificate from here are let in.
    `grace_s`: how long the questions in flight may still take when the backend leaves.
    """

    hub: str | None = None
    listen: str | None = None
    address: str | None = None
    token_file: str | Path | None = None
    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None
    client_ca_file: str | Path | None = None
    grace_s: float = 25.0
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        if self.hub is None and self.listen is None:
            raise InvalidSettings("hub: needed, unless listen says where the hub can dial this backend")
        if self.hub is not None:
            Endpoint.parse(self.hub, "hub")
        self._check_dialled()
        self._check_tls()
        for key in ("token_file", "ca_file", "cert_file", "key_file", "client_ca_file"):
            path = getattr(self, key)
            if path is not None:
                read_file(path, key)

    def _check_dialled(self) -> None:
        if self.listen is None:
            if self.address is not None:
                raise InvalidSettings("address: means nothing without listen; an attached backend needs none")
            return
        Endpoint.parse(self.listen, "listen")
        if (self.hub is None) != (self.address is None):
            missing = "address" if self.address is None else "hub"
            raise InvalidSettings(f"{missing}: needed to register with a hub; leave out both hub and address otherwise")

    def _check_tls(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise InvalidSettings("cert_file, key_file: one needs the other")
        if self.cert_file is not None and self.listen is None and self.ca_file is None:
            raise InvalidSettings("cert_file: needs ca_file, which turns TLS to the hub on")
        if self.client_ca_file is not None and (self.listen is None or self.cert_file is None):
            raise InvalidSettings("client_ca_file: needs listen and cert_file")

    @property
    def attached(self) -> bool:
        """Whether the backend opens the connection."""
        return self.listen is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host and a port, or the path of a socket."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str, key: str) -> Endpoint:
        """Return the endpoint that `text` names; `key` is the setting that it comes from."""
        if text.startswith("unix:"):
            return cls(host="", port=0, path=text)
        host, colon, port = text.removeprefix("dns:///").rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > _LARGEST_PORT:
            raise InvalidSettings(f'{key}: "{text}" must be host:port')
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))


def read_file(path: str | Path, key: str) -> bytes:
    """Return what is in the file that the setting `key` names."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidSettings(f'{key}: cannot read "{path}": {error.strerror}') from error


def read_token(path: str | Path) -> str:
    """Return the token in the file, without the white space around it."""
    token = read_file(path, "token_file").decode("ascii", "replace").strip()
    if not token or not all("!" <= character <= "~" for character in token):
        raise InvalidSettings(f'token_file: "{path}" holds no token: it must be one word of printable ASCII')
    return token

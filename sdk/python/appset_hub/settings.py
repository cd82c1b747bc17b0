"""Who a backend is, where it connects, and how fast it comes back: all that `serve` needs to know.

Values that check themselves when they are made, and name everything that is wrong at once. Secrets come as file names;
a file is read here only to find out early that it cannot be used.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from appset_hub.claims import claim_problems
from appset_hub.endpoints import Endpoint
from appset_hub.errors import InvalidSettings
from appset_hub.files import check_authorities, check_pair, read_token
from appset_hub.functions import function_problem
from appset_hub.schemas import encode_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from appset_hub.question import Function

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_LONGEST_TEXT_BYTES = 128
_MOST_IN_FLIGHT = 2**32 - 1

DEFAULT_HUB = "localhost:4356"
"""Where `serve` connects by default: a hub on this machine."""

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
    `max_in_flight`: how many questions to answer at once; 0: the hub decides. A plain function gets as many threads.
    """

    function: Function
    name: str
    application_sets: Sequence[str] = ()
    version: str = ""
    instance: str = ""
    input_schema: Mapping[str, Any] | None = None
    max_in_flight: int = 0

    def __post_init__(self) -> None:
        problems = Problems()
        problems.add(function_problem(self.function))
        problems.add(_name_problem(self.name))
        problems.add(*claim_problems(self.application_sets))
        problems.add(*(_text_problem(getattr(self, key), key) for key in ("version", "instance")))
        problems.add(_in_flight_problem(self.max_in_flight))
        with problems.collected():
            self.input_schema_json()
        problems.raise_any()

    def input_schema_json(self) -> bytes:
        """Return the schema as it travels; empty when there is none."""
        return b"" if self.input_schema is None else encode_schema(self.input_schema)


class Problems:
    """Collects everything that is wrong, so that one error reports it all."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, *problems: str) -> None:
        """Note problems; an empty text is none."""
        self._found.extend(problem for problem in problems if problem)

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Note the problems that the block raises."""
        try:
            yield
        except InvalidSettings as error:
            self.add(*error.problems)

    def raise_any(self) -> None:
        """Raise `InvalidSettings` if there was any problem."""
        if self._found:
            raise InvalidSettings(*self._found)


def _name_problem(name: object) -> str:
    if not isinstance(name, str):
        return f"name: expected the backend's name as text, got {type(name).__name__}"
    if _DNS_LABEL.match(name):
        return ""
    guess = re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-")
    hint = f'; did you mean "{guess}"?' if guess else ""
    return f'name: "{name}" must be lower-case letters, digits and "-", at most 63, as in a DNS name{hint}'


def _text_problem(text: object, key: str) -> str:
    if not isinstance(text, str):
        return f"{key}: expected text, got {type(text).__name__}"
    if len(text.encode("utf-8", "replace")) > _LONGEST_TEXT_BYTES or not text.isprintable():
        return f"{key}: must be at most {_LONGEST_TEXT_BYTES} bytes of printable text"
    return ""


def _in_flight_problem(number: object) -> str:
    if isinstance(number, bool) or not isinstance(number, int):
        return f"max_in_flight: expected a whole number, got {number!r}"
    if number < 0:
        return "max_in_flight: must not be negative"
    return "" if number <= _MOST_IN_FLIGHT else f"max_in_flight: must be at most {_MOST_IN_FLIGHT}"


def _seconds_problem(number: object, key: str, *, zero: bool = False) -> str:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return f"{key}: expected a number of seconds, got {number!r}"
    if not 0 <= number < float("inf") or (number == 0 and not zero):
        return f"{key}: must be {'zero or more' if zero else 'more than zero'} seconds, got {number}"
    return ""


def new_instance() -> str:
    """Return an instance name that no other process has: host, process and some chance."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a backend notices and comes back.

    `first_retry_s`, `longest_retry_s`: the pause before a new attempt doubles from the one to the other, and each is
    shortened by chance to as little as half. The hub answers again within a second of its restart only if the longest
    is below that.
    `refused_retry_s`, `longest_refused_retry_s`: the same for a backend that the hub refused. A person has to correct
    something first, or a token is about to be rotated.
    `welcome_s`: how long the hub may take to answer the greeting.
    `resolve_s`: how often the hub's name is looked up for replicas that came or went.
    `keepalive_s`: how long a silent connection goes unchecked; a dead one is dropped after half as long again.
    `remind_s`: how often a reason that lasts is logged again.
    """

    first_retry_s: float = 0.1
    longest_retry_s: float = 0.8
    refused_retry_s: float = 5.0
    longest_refused_retry_s: float = 30.0
    welcome_s: float = 5.0
    resolve_s: float = 5.0
    keepalive_s: float = 20.0
    remind_s: float = 60.0

    def __post_init__(self) -> None:
        problems = Problems()
        problems.add(*(_seconds_problem(getattr(self, one.name), f"pace.{one.name}") for one in fields(self)))
        problems.raise_any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a backend connects, and with what credentials.

    Attached: `hub` alone, `host:port` or `unix:/path`. The backend opens the connection; nothing needs to reach it.
    Dialled: `listen`, as `host:port` or `:port`; port 0 takes a free one. With `hub` and `address` the backend tells
    the hub where it is; without, the hub's configuration has to.

    `token_file`: holds the token that the hub expects; read again at every connection.
    `ca_file`: CA that signed the hub's certificate. Setting it turns on TLS to the hub.
    `cert_file`, `key_file`: this backend's certificate, presented to the hub (if TLS is on) and to those who dial it.
    `client_ca_file`: when dialled, require client certificates signed by this CA.
    `grace_s`: how long questions in flight may still take when the backend stops.
    `proxy_from_environment`: connect to the hub through the proxy that `grpc_proxy`, `https_proxy` or `http_proxy`
    names, except for the hosts in `no_proxy`. By default these variables are ignored.
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
    proxy_from_environment: bool = False
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        problems = Problems()
        if self.hub is None and self.listen is None:
            problems.add("hub: required, unless listen is set")
        problems.add(self._dialled_problem(), _seconds_problem(self.grace_s, "grace_s", zero=True))
        for key in ("hub", "listen", "address"):
            if getattr(self, key) is not None:
                with problems.collected():
                    Endpoint.parse(getattr(self, key), key)
        tls = self._tls_problem()
        problems.add(tls)
        if self.token_file is not None:
            with problems.collected():
                read_token(self.token_file)
        if not tls:
            self._check_certificates(problems)
        problems.raise_any()

    def _dialled_problem(self) -> str:
        if self.listen is None and self.address is not None:
            return "address: has no effect without listen; an attached backend needs no address"
        if self.listen is None:
            return ""
        if (self.hub is None) == (self.address is None):
            return ""
        missing = "address" if self.address is None else "hub"
        return f"{missing}: required to register with a hub; otherwise leave out both hub and address"

    def _tls_problem(self) -> str:
        if (self.cert_file is None) != (self.key_file is None):
            return "cert_file, key_file: set both or neither"
        if self.cert_file is not None and self.listen is None and self.ca_file is None:
            return "cert_file: requires ca_file, which turns on TLS to the hub"
        if self.client_ca_file is not None and (self.listen is None or self.cert_file is None):
            return "client_ca_file: requires listen and cert_file"
        return ""

    def _check_certificates(self, problems: Problems) -> None:
        for key in ("ca_file", "client_ca_file"):
            if getattr(self, key) is not None:
                with problems.collected():
                    check_authorities(getattr(self, key), key)
        if self.cert_file is not None and self.key_file is not None:
            with problems.collected():
                check_pair(self.cert_file, self.key_file)

    @property
    def attached(self) -> bool:
        """Whether the backend opens the connection."""
        return self.listen is None

"""Everything that the configuration decides, checked and in the units that the code works with.

``_s`` is seconds, ``_bytes`` bytes. What each setting means to an operator stands beside its key in
``hub.config.file``; here are only values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.answer import Limits
    from hub.core.clients import Client
    from hub.core.directory import Grant
    from hub.core.routes import Route


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host is every address of the machine."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "::1", "localhost") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """The three ports."""

    http: Address
    grpc: Address
    admin: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """A server's certificate chain, its key, and the CA of its clients (empty: none is needed): paths, and contents."""

    certificate: str
    key: str
    client_ca: str = ""
    certificate_pem: bytes = field(default=b"", repr=False)
    key_pem: bytes = field(default=b"", repr=False)
    client_ca_pem: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where persistent state is. ``expect_initialised``: an empty store waits for an operator."""

    url: str
    expect_initialised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTokens:
    """A client, and the tokens that it may show."""

    client: Client
    tokens: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """What a backend may do, how it proves who it is, and how it is called if it is dialled.

    Certificates, keys and CAs are PEM.
    """

    grant: Grant
    tokens: tuple[str, ...] = field(default=(), repr=False)
    certificates: tuple[str, ...] = ()
    call_tls: bool = False
    call_ca: bytes | None = field(default=None, repr=False)
    call_certificate: bytes | None = field(default=None, repr=False)
    call_key: bytes | None = field(default=None, repr=False)
    call_server_name: str = ""
    call_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """How much of everything.

    ``memory_bytes`` is all that the hub may take, if there is a limit. Of that, ``large_answers_bytes`` are for large
    answers that are under way, and ``unread_bytes`` for those that callers have not read; a process that checks a large
    one has ``check_memory_bytes`` of addresses, 0 for any number.
    """

    memory_bytes: int | None
    large_answers_bytes: int | None
    unread_bytes: int | None
    baseline_bytes: int
    check_memory_bytes: int
    answer: Limits
    max_head_bytes: int
    max_body_bytes: int
    body_timeout_s: float
    keepalive_s: float
    head_timeout_s: float
    write_timeout_s: float
    connections: int
    idle_connections: int
    connections_per_peer: int
    refusals_per_second: int
    breaker_failures: int
    max_input_depth: int
    schema_time_s: float
    schema_memory_bytes: int
    requests_in_flight: int
    remembered_entries: int
    remembered_bytes: int
    kept_questions: int
    lease_s: float
    heartbeat_s: float
    default_backend_in_flight: int
    max_backend_in_flight: int
    max_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialSettings:
    """How the hub follows the names of dialled backends, and how long one of their instances may be silent."""

    resolve_every_s: float = 25.0
    max_addresses: int = 100
    check_after_s: float = 5.0
    give_up_after_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How the hub stops: so long it goes on answering, and so long it waits for what is in flight then."""

    delay_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of a hub."""

    listen: Listen
    http_tls: TlsFiles | None
    grpc_tls: TlsFiles | None
    admin_tls: TlsFiles | None
    store: StoreSettings
    clients: tuple[ClientTokens, ...]
    backends: tuple[BackendSettings, ...]
    routes: tuple[Route, ...]
    claimed: Route
    """What all routes of claims are like."""
    admin_tokens: tuple[str, ...] = field(repr=False)
    limits: HubLimits
    dial: DialSettings
    drain: Drain
    startup_wait_s: float
    log_format: str
    log_level: str
    dev: bool
    watched: Mapping[str, str]
    """The files whose change may change any of this, each with a digest of what was read of it (empty: nothing)."""
    proxy_from_environment: bool = False
    warnings: tuple[str, ...] = ()
    """Settings that are allowed but probably not intended: one line each, with its place."""

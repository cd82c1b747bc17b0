"""From a configuration as it is written to settings: files are read, names resolved, and every mistake is found."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hub.config import file as shape
from hub.config.mistakes import ConfigurationError, Mistake
from hub.config.read import read
from hub.core import settings as core
from hub.core.answer import Limits
from hub.core.clients import Client
from hub.core.combine import AnswerRules, Combine, Concat, First, Merge
from hub.core.directory import Grant
from hub.core.guard import GuardPolicy
from hub.core.routes import CLAIMED, Freshness, Route, Trust
from hub.core.values import ValueRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_MAX_PORT = 65535

DEV_LISTEN = {"listen.http": "127.0.0.1:4355", "listen.grpc": "127.0.0.1:4356", "listen.admin": "127.0.0.1:4357"}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configuration comes from. ``flags`` goes from a setting's path to its value."""

    path: Path | None
    flags: Mapping[str, str] = {}
    dev: bool = False


def load(source: Source, environment: Mapping[str, str] = os.environ) -> core.Settings:
    """Read, check and resolve a configuration.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    flags = dict(source.flags)
    if source.dev and source.path is None:
        flags = {**DEV_LISTEN, "store": "memory:", **flags}
    written = read(source.path, environment, flags)
    folder = source.path.parent if source.path is not None else Path()
    return _Resolver(written, folder, dev=source.dev).settings(source.path)


def seconds(text: str) -> float:
    """A duration such as ``500ms`` or ``25s``."""
    number = text.rstrip("msdh")
    return float(number) * _UNITS_S[text[len(number) :]]


class _Resolver:
    """One pass over a configuration; collects mistakes instead of stopping at the first."""

    def __init__(self, written: shape.File, folder: Path, *, dev: bool) -> None:
        self._written = written
        self._folder = folder
        self._dev = dev
        self._mistakes: list[Mistake] = []
        self._watched: list[str] = []
        self._token_places: dict[str, str] = {}

    def settings(self, path: Path | None) -> core.Settings:
        written = self._written
        self._positive("deadline", written.deadline)
        settings = core.Settings(
            listen=self._listen(),
            http_tls=self._server_tls("tls.http", written.tls.http),
            grpc_tls=self._server_tls("tls.grpc", written.tls.grpc),
            store=self._store(),
            clients=self._clients(),
            backends=self._backends(),
            routes=self._routes(),
            claimed=self._claimed(),
            admin_tokens=self._tokens("admin.tokens", written.admin.tokens),
            limits=self._limits(),
            drain=core.Drain(delay_s=seconds(written.drain.delay), timeout_s=seconds(written.drain.timeout)),
            log_format=written.log.format,
            log_level=written.log.level,
            dev=self._dev,
            watched=(*((str(path),) if path is not None else ()), *self._watched),
        )
        self._check_whole(settings)
        if self._mistakes:
            raise ConfigurationError(self._mistakes)
        return settings

    def _wrong(self, path: str, reason: str) -> None:
        self._mistakes.append(Mistake(path, reason))

    def _check_whole(self, settings: core.Settings) -> None:
        if self._dev:
            for name in ("http", "grpc", "admin"):
                if not getattr(settings.listen, name).loopback:
                    self._wrong(f"listen.{name}", "with --dev the hub listens on loopback only, as in 127.0.0.1:4355")
        elif not settings.clients:
            self._wrong("clients", "without any token nobody could call; name one client at least (or try --dev)")

    def _listen(self) -> core.Listen:
        listen = self._written.listen
        return core.Listen(
            http=self._address("listen.http", listen.http),
            grpc=self._address("listen.grpc", listen.grpc),
            admin=self._address("listen.admin", listen.admin),
        )

    def _address(self, path: str, text: str) -> core.Address:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > _MAX_PORT:
            self._wrong(path, f'"{text}" is not host:port')
            return core.Address("", 0)
        return core.Address(host.removeprefix("[").removesuffix("]"), int(port))

    def _store(self) -> str:
        store = self._written.store
        if store == "memory:":
            return store
        if store.startswith("sqlite:") and len(store) > len("sqlite:"):
            return "sqlite:" + str(self._folder / store.removeprefix("sqlite:"))
        self._wrong("store", 'expected "memory:" or "sqlite:PATH"')
        return store

    def _positive(self, path: str, text: str) -> float:
        value_s = seconds(text)
        if value_s <= 0:
            self._wrong(path, "must be more than nothing")
        return value_s

    def _server_tls(self, path: str, tls: shape.ServerTls | None) -> core.TlsFiles | None:
        if tls is None:
            return None
        files = core.TlsFiles(
            certificate=self._watch(tls.certificate),
            key=self._watch(tls.key),
            client_ca=self._watch(tls.client_ca) if tls.client_ca else "",
        )
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.certificate, files.key)
            if files.client_ca:
                context.load_verify_locations(files.client_ca)
        except (OSError, ssl.SSLError) as error:
            self._wrong(path, f"cannot use these files: {error.strerror or error}")
        return files

    def _watch(self, path: str) -> str:
        resolved = str(self._folder / path)
        self._watched.append(resolved)
        return resolved

    def _read(self, place: str, path: str) -> bytes:
        try:
            return Path(self._watch(path)).read_bytes()
        except OSError as error:
            self._wrong(place, f'cannot read "{path}": {error.strerror}')
            return b""

    def _token(self, place: str, entry: shape.TokenFile) -> str:
        data = self._read(f"{place}.file", entry.file)
        if any(mistake.path == f"{place}.file" for mistake in self._mistakes):
            return ""
        try:
            token = data.decode("ascii").strip()
        except UnicodeError:
            token = ""
        if not token or not token.isprintable() or " " in token:
            self._wrong(f"{place}.file", f'"{entry.file}" must hold one token, of printable ASCII without spaces')
            return ""
        return token

    def _tokens(self, place: str, entries: Sequence[shape.TokenFile]) -> tuple[str, ...]:
        return tuple(token for index, entry in enumerate(entries) if (token := self._token(f"{place}[{index}]", entry)))

    def _own_tokens(self, place: str, kind: str, entries: Sequence[shape.TokenFile]) -> tuple[str, ...]:
        """Tokens that must tell their holders apart."""
        tokens = self._tokens(f"{place}.tokens", entries)
        for token in tokens:
            other = self._token_places.setdefault(f"{kind} {token}", place)
            if other != place:
                self._wrong(f"{place}.tokens", f"has a token that {other} has too; a token must tell who it is")
        return tokens

    def _clients(self) -> tuple[core.ClientTokens, ...]:
        entries = self._written.clients
        self._unique("clients", (entry.name for entry in entries))
        return tuple(
            core.ClientTokens(
                client=Client(
                    name=entry.name,
                    application_sets=tuple(entry.application_sets),
                    routes=tuple(entry.routes),
                    max_in_flight=entry.max_in_flight,
                ),
                tokens=self._own_tokens(f"clients[{index}]", "client", entry.tokens),
            )
            for index, entry in enumerate(entries)
        )

    def _unique(self, path: str, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                self._wrong(f"{path}[{index}].name", f'"{name}" is there twice')
            seen.add(name)

    def _backends(self) -> tuple[core.BackendSettings, ...]:
        entries = self._written.backends
        self._unique("backends", (entry.name for entry in entries))
        return tuple(self._backend(f"backends[{index}]", entry) for index, entry in enumerate(entries))

    def _backend(self, place: str, entry: shape.Backend) -> core.BackendSettings:
        if not entry.tokens and not entry.certificates and not entry.address and not self._dev:
            self._wrong(place, "needs tokens or certificates with which it registers, or an address to dial")
        if entry.certificates and (self._written.tls.grpc is None or not self._written.tls.grpc.client_ca):
            self._wrong(f"{place}.certificates", "need tls.grpc.client_ca, against which they are verified")
        tls = entry.call_tls or shape.CallTls()
        if bool(tls.certificate) != bool(tls.key):
            self._wrong(f"{place}.call_tls", "certificate and key go together")
        return core.BackendSettings(
            grant=Grant(
                backend=entry.name,
                application_sets=tuple(entry.application_sets),
                addresses=tuple(entry.addresses),
                configured_address=entry.address,
            ),
            tokens=self._own_tokens(place, "backend", entry.tokens),
            certificates=tuple(entry.certificates),
            call_tls=entry.call_tls is not None,
            call_ca=self._read(f"{place}.call_tls.ca", tls.ca) if tls.ca else None,
            call_certificate=self._read(f"{place}.call_tls.certificate", tls.certificate) if tls.certificate else None,
            call_key=self._read(f"{place}.call_tls.key", tls.key) if tls.key else None,
            call_server_name=tls.server_name,
            call_token=self._token(f"{place}.call_token", entry.call_token) if entry.call_token else "",
        )

    def _routes(self) -> tuple[Route, ...]:
        entries = self._written.routes
        self._unique("routes", (entry.name for entry in entries))
        known = {entry.name for entry in self._written.backends}
        return tuple(self._route(f"routes[{index}]", entry, known) for index, entry in enumerate(entries))

    def _route(self, place: str, entry: shape.Route, known: set[str]) -> Route:
        for index, backend in enumerate(entry.backends):
            if backend not in known:
                self._wrong(f"{place}.backends[{index}]", f'no backend "{backend}" is configured')
            if backend in entry.backends[:index]:
                self._wrong(f"{place}.backends[{index}]", f'"{backend}" is there twice')
        written = self._written
        return Route(
            name=entry.name,
            members=tuple(entry.backends),
            application_sets=tuple(entry.application_sets),
            parameters=tuple(entry.parameters.items()),
            combine=_combine(entry.combine),
            deadline_s=self._positive(f"{place}.deadline", entry.deadline or written.deadline),
            wait_for_absent_s=seconds(entry.wait_for_absent or written.wait_for_absent),
            rules=AnswerRules(required_keys=tuple(entry.required_keys), unique_by=tuple(entry.unique_by)),
            values=ValueRules(numbers=entry.numbers, nulls=entry.nulls, echo=tuple(entry.echo)),
            trust=_trust(
                entry.guard or written.guard,
                entry.stale_if_error or written.stale_if_error,
                entry.cache or written.cache,
            ),
        )

    def _claimed(self) -> Route:
        """What all routes of claims are like."""
        written = self._written
        return Route(
            name=CLAIMED,
            members=(),
            deadline_s=seconds(written.deadline),
            wait_for_absent_s=seconds(written.wait_for_absent),
            trust=_trust(written.guard, written.stale_if_error, written.cache),
        )

    def _limits(self) -> core.HubLimits:
        limits = self._written.limits
        return core.HubLimits(
            answer=Limits(max_bytes=limits.max_answer_bytes, max_sets=limits.max_sets, max_depth=limits.max_depth),
            max_head_bytes=limits.max_head_bytes,
            max_body_bytes=limits.max_body_bytes,
            body_timeout_s=self._positive("limits.body_timeout", limits.body_timeout),
            keepalive_s=self._positive("limits.keepalive", limits.keepalive),
            requests_in_flight=limits.requests_in_flight,
            remembered_entries=limits.remembered_entries,
            remembered_bytes=limits.remembered_bytes,
            kept_questions=limits.kept_questions,
            lease_s=self._positive("limits.lease", limits.lease),
            default_backend_in_flight=limits.backend_in_flight,
            max_backend_in_flight=limits.max_backend_in_flight,
            max_instances=limits.max_instances,
        )


def _trust(guard: shape.Guard, stale: shape.StaleIfError | None, cache: shape.Cache) -> Trust:
    return Trust(
        guard=GuardPolicy(
            mode=guard.mode,
            max_drop=float(guard.max_drop.removesuffix("%")) / 100,
            min_sets=guard.min_sets,
            release_after_s=None if guard.release == "manual" else seconds(guard.release.after),
        ),
        freshness=Freshness(fresh_s=seconds(cache.fresh), max_s=seconds(cache.max)),
        stale_max_age_s=None if stale is None else seconds(stale.max_age),
    )


def _combine(written: str | shape.Merge) -> Combine:
    if isinstance(written, shape.Merge):
        return Merge(on=tuple(written.merge.on))
    return First() if written == "first" else Concat()

"""From a configuration as it is written to settings: files are read and names resolved; what is wrong is collected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hub.config import addresses
from hub.config import file as shape
from hub.config.cgroup import memory_limit_bytes
from hub.config.credentials import CredentialReader
from hub.config.durations import MAX_S, seconds
from hub.config.memory import Memory
from hub.config.suggestions import did_you_mean
from hub.core import settings as core
from hub.core.answer import Limits
from hub.core.clients import DEFAULT_IN_FLIGHT, Client
from hub.core.combine import AnswerRules, Combine, Concat, First, Merge
from hub.core.directory import Grant
from hub.core.elements import list_path
from hub.core.guard import GuardPolicy, TotalPolicy
from hub.core.routes import CLAIMED, Freshness, Route, Trust
from hub.core.values import ValueRules

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hub.config.files import Files
    from hub.config.places import At, Findings
    from hub.config.read import Written

_LEAST_RESOLVE_S = 1.0  # A name is looked up once a second at most.
_PART_OF_CLIENT = 2  # One route gets this part of a client's requests in flight.
_MAX_SUGGESTIONS = 20  # Each compares with every name; a file with more such mistakes has another problem.

_SHORTEST_HEARTBEAT_S = 0.1


class Resolver:
    """One pass over a configuration."""

    def __init__(self, written: Written, files: Files, *, dev: bool) -> None:
        self._written = written.file
        self._digest = written.digest
        self._findings: Findings = written.findings
        self._files = files
        self._credentials = CredentialReader(files, written.findings)
        self._dev = dev
        self._suggestions_left = _MAX_SUGGESTIONS
        self._route_max_in_flight = _route_max_in_flight(written.file)
        self._platform_bytes = memory_limit_bytes()

    def settings(self, path: Path | None, folder: Path) -> core.Settings:
        """The settings; only good if nothing was found wrong."""
        written = self._written
        if path is not None:
            self._files.watched[str(path)] = self._digest
        listen = addresses.listen(written.listen, self._findings)
        settings = core.Settings(
            listen=self._on_loopback(listen) if self._dev else listen,
            http_tls=self._credentials.server_tls(("tls", "http"), written.tls.http),
            grpc_tls=self._credentials.server_tls(("tls", "grpc"), written.tls.grpc),
            admin_tls=self._credentials.server_tls(("tls", "admin"), written.tls.admin),
            store=self._store(folder, forget=self._dev and path is None),
            clients=self._clients(),
            backends=self._backends(),
            routes=self._routes(),
            claimed=self._claimed(),
            admin_tokens=self._credentials.tokens(("admin",), "the admin port", "", written.admin.tokens),
            limits=self._limits(),
            dial=self._dial(),
            startup_wait_s=self._seconds(("startup_wait",), written.startup_wait),
            drain=core.Drain(
                delay_s=self._seconds(("drain", "delay"), written.drain.delay),
                timeout_s=self._seconds(("drain", "timeout"), written.drain.timeout),
            ),
            log_format=written.log.format,
            log_level=written.log.level,
            dev=self._dev,
            proxy_from_environment=written.proxy_from_environment,
            watched=dict(self._files.watched),
        )
        self._check_not_overwritten(settings.store.url)
        return settings

    def _check_not_overwritten(self, store: str) -> None:
        path = os.path.normpath(store.removeprefix(addresses.SQLITE))
        if store.startswith(addresses.SQLITE) and path in map(os.path.normpath, self._files.watched):
            self._wrong(("store",), "this file is part of the configuration, and the store would overwrite it")
            self._findings.bad(("store",))

    def _wrong(self, at: At, reason: str) -> None:
        self._findings.wrong(at, reason)

    def _on_loopback(self, listen: core.Listen) -> core.Listen:
        """For --dev: an address that is written must be on loopback, and one that is not is there by default."""
        return core.Listen(**{name: self._loopback(name, getattr(listen, name)) for name in ("http", "grpc", "admin")})

    def _loopback(self, name: str, address: core.Address) -> core.Address:
        if address.loopback:
            return address
        here = core.Address("127.0.0.1", address.port)
        if self._findings.places.written(("listen", name)):
            self._wrong(("listen", name), f'with --dev the hub listens on loopback only, such as "{here}"')
        return here

    def _store(self, folder: Path, *, forget: bool) -> core.StoreSettings:
        if forget and not self._findings.places.written(("store",)):
            return core.StoreSettings(url=addresses.MEMORY)
        written = self._written.store
        at: At = ("store", "url") if isinstance(written, shape.Store) else ("store",)
        store = written if isinstance(written, shape.Store) else shape.Store(url=written)
        fault = addresses.store_fault(store.url)
        if fault is not None:
            self._wrong(at, fault)
            self._findings.bad(at)
        expects = store.expect == "initialised"
        if expects and store.url == addresses.MEMORY:
            self._wrong(("store", "expect"), "memory: is empty at each start; use sqlite:PATH, or leave out expect")
        url = store.url
        if url.startswith(addresses.SQLITE):
            url = addresses.SQLITE + str(folder / url.removeprefix(addresses.SQLITE))
        return core.StoreSettings(url=url, expect_initialised=expects)

    def _seconds(self, at: At, text: str) -> float:
        value_s = seconds(text)
        if value_s > MAX_S:
            self._wrong(at, f"must be at most {MAX_S / 86400:.0f}d")
            self._findings.bad(at)
        return value_s

    def _positive(self, at: At, text: str) -> float:
        value_s = self._seconds(at, text)
        if value_s <= 0:
            self._wrong(at, "must be greater than zero")
            self._findings.bad(at)
        return value_s

    def _heartbeat(self, at: At, text: str) -> float:
        value_s = self._seconds(at, text)
        if value_s < _SHORTEST_HEARTBEAT_S:
            # A backend that is merely slow would be taken for lost.
            self._wrong(at, "must be at least 100ms")
            self._findings.bad(at)
        return value_s

    def _unique(self, section: str, names: Iterable[str]) -> None:
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            first = seen.setdefault(name, index)
            if first != index:
                also = self._findings.places.also((section, first, "name"))
                self._wrong((section, index, "name"), f'duplicate name "{name}" (also {also})')

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
                tokens=self._credentials.tokens(("clients", index), "client", entry.name, entry.tokens),
            )
            for index, entry in enumerate(entries)
        )

    def _backends(self) -> tuple[core.BackendSettings, ...]:
        entries = self._written.backends
        self._unique("backends", (entry.name for entry in entries))
        return tuple(self._backend(("backends", index), entry) for index, entry in enumerate(entries))

    def _backend(self, at: At, entry: shape.Backend) -> core.BackendSettings:
        self._check_access(at, entry)
        tls = entry.call_tls or shape.CallTls()
        chain, key = self._call_pair((*at, "call_tls"), tls)
        return core.BackendSettings(
            grant=Grant(
                backend=entry.name,
                application_sets=tuple(entry.application_sets),
                addresses=tuple(entry.addresses),
                configured_address=entry.address,
                unique_by=self._keys((*at, "unique_by"), entry.unique_by),
                expected=entry.expected,
            ),
            tokens=self._credentials.tokens(at, "backend", entry.name, entry.tokens),
            certificates=tuple(entry.certificates),
            call_tls=entry.call_tls is not None,
            call_ca=self._credentials.certificate((*at, "call_tls", "ca"), tls.ca) if tls.ca else None,
            call_certificate=chain,
            call_key=key,
            call_server_name=tls.server_name,
            call_token=self._credentials.token((*at, "call_token"), entry.call_token) if entry.call_token else "",
        )

    def _check_access(self, at: At, entry: shape.Backend) -> None:
        if not entry.tokens and not entry.certificates and not entry.address and not self._dev:
            self._wrong(
                at,
                f'backend "{entry.name}" needs tokens or certificates to register with, or an address to connect to',
            )
        if entry.certificates and (self._written.tls.grpc is None or not self._written.tls.grpc.client_ca):
            self._wrong(
                (*at, "certificates"), "need tls.grpc.client_ca, the CA that client certificates are checked against"
            )
        fault = addresses.target_fault(entry.address) if entry.address else None
        if fault is not None:
            shown = addresses.without_user(entry.address)
            self._wrong((*at, "address"), f'expected an address such as "images:50051", got "{shown}": {fault}')

    def _call_pair(self, at: At, tls: shape.CallTls) -> tuple[bytes | None, bytes | None]:
        if tls.certificate and tls.key:
            return self._credentials.pair(at, tls.certificate, tls.key)
        if tls.certificate or tls.key:
            given, missing = ("certificate", "key") if tls.certificate else ("key", "certificate")
            self._wrong(at, f"{given} needs {missing} as well")
        return None, None

    def _routes(self) -> tuple[Route, ...]:
        entries = self._written.routes
        self._unique("routes", (entry.name for entry in entries))
        known = {entry.name: None for entry in self._written.backends}
        return tuple(self._route(("routes", index), entry, known) for index, entry in enumerate(entries))

    def _route(self, at: At, entry: shape.Route, known: dict[str, None]) -> Route:
        self._check_members(at, entry, known)
        self._check_keys(at, entry)
        written = self._written
        return Route(
            name=entry.name,
            members=tuple(entry.backends),
            application_sets=tuple(entry.application_sets),
            parameters=tuple(entry.parameters.items()),
            combine=_combine(entry.combine),
            deadline_s=self._positive((*at, "deadline"), entry.deadline)
            if entry.deadline
            else seconds(written.deadline),
            wait_for_absent_s=self._seconds((*at, "wait_for_absent"), entry.wait_for_absent or written.wait_for_absent),
            wait_for_busy_s=self._seconds((*at, "wait_for_busy"), entry.wait_for_busy or written.wait_for_busy),
            max_in_flight=entry.max_in_flight or self._route_max_in_flight,
            share_within_s=self._seconds((*at, "share_within"), entry.share_within or written.share_within),
            rules=AnswerRules(required_keys=tuple(entry.required_keys), unique_by=tuple(entry.unique_by)),
            values=ValueRules(numbers=entry.numbers, nulls=entry.nulls, echo=tuple(entry.echo)),
            trust=self._trust(at, entry),
        )

    def _check_members(self, at: At, entry: shape.Route, known: dict[str, None]) -> None:
        for index, backend in enumerate(entry.backends):
            member = (*at, "backends", index)
            if backend not in known:
                self._wrong(member, f'no backend "{backend}" is configured{self._meant(backend, known)}')
            if backend in entry.backends[:index]:
                self._wrong(member, f'duplicate backend "{backend}"')

    def _check_keys(self, at: At, entry: shape.Route) -> None:
        lists: dict[At, list[str]] = {(key,): getattr(entry, key) for key in ("required_keys", "unique_by", "echo")}
        if isinstance(entry.combine, shape.Merge):
            lists["combine", "merge", "on"] = entry.combine.merge.on
        for inner, keys in lists.items():
            self._keys((*at, *inner), keys)

    def _keys(self, at: At, keys: list[str]) -> tuple[str, ...]:
        seen: set[str] = set()
        for index, key in enumerate(keys):
            if key in seen:
                self._wrong((*at, index), f'duplicate key "{key}"')
            seen.add(key)
        return tuple(keys)

    def _meant(self, name: str, known: Iterable[str]) -> str:
        self._suggestions_left -= 1
        return did_you_mean(name, known) if self._suggestions_left >= 0 else ""

    def _claimed(self) -> Route:
        """What all routes of claims are like."""
        written = self._written
        return Route(
            name=CLAIMED,
            members=(),
            deadline_s=self._positive(("deadline",), written.deadline),
            wait_for_absent_s=self._seconds(("wait_for_absent",), written.wait_for_absent),
            wait_for_busy_s=self._seconds(("wait_for_busy",), written.wait_for_busy),
            max_in_flight=self._route_max_in_flight,
            share_within_s=self._seconds(("share_within",), written.share_within),
            trust=self._trust((), written),
        )

    def _trust(self, at: At, entry: shape.Route | shape.File) -> Trust:
        """The guard, cache and stale answers of a route; what it does not set is that of the whole file."""
        written = self._written
        stale, cache, guard = entry.stale_if_error, entry.cache, entry.guard
        stale_s = None if stale is None else self._positive((*at, "stale_if_error", "max_age"), stale.max_age)
        if stale is None and written.stale_if_error is not None:
            stale_s = seconds(written.stale_if_error.max_age)
        freshness = cache or written.cache
        return Trust(
            guard=self._guard((*at, "guard"), written.guard if guard is None else guard),
            freshness=Freshness(
                fresh_s=self._seconds((*at, "cache", "fresh"), freshness.fresh),
                max_s=self._seconds((*at, "cache", "max"), freshness.max),
            ),
            stale_max_age_s=stale_s,
        )

    def _guard(self, at: At, guard: shape.Guard) -> GuardPolicy:
        release_s = None
        if guard.release != "manual":
            release_s = self._positive((*at, "release", "after"), guard.release.after)
        self._keys((*at, "ignore_inputs"), guard.ignore_inputs)
        of_all = self._written.guard
        return GuardPolicy(
            mode=guard.mode,
            max_drop=None if guard.max_drop is None else _share(guard.max_drop),
            min_sets=guard.min_sets,
            release_after_s=release_s,
            window_s=self._seconds((*at, "window"), guard.window),
            max_change=None if guard.max_change is None else _share(guard.max_change),
            total=TotalPolicy(
                max_drop=_share(of_all.total.max_drop),
                min_sets=of_all.total.min_sets,
                window_s=seconds(of_all.window),
            ),
            count=None if guard.count is None else list_path(guard.count),
            ignore_inputs=tuple(guard.ignore_inputs),
            keep_s=self._positive((*at, "keep"), guard.keep),
        )

    def _dial(self) -> core.DialSettings:
        written = self._written.dial
        every_s = self._seconds(("dial", "resolve_every"), written.resolve_every)
        if every_s < _LEAST_RESOLVE_S:
            self._wrong(("dial", "resolve_every"), f"must be at least {_LEAST_RESOLVE_S:g}s")
        check_s = self._positive(("dial", "check_after"), written.check_after)
        give_up_s = self._positive(("dial", "give_up_after"), written.give_up_after)
        if give_up_s < check_s:
            shorter = f"must not be shorter than dial.check_after ({written.check_after})"
            self._wrong(("dial", "give_up_after"), shorter)
        return core.DialSettings(
            resolve_every_s=every_s,
            max_addresses=written.max_addresses,
            check_after_s=check_s,
            give_up_after_s=give_up_s,
        )

    def _limits(self) -> core.HubLimits:
        limits = self._written.limits
        memory = Memory(limits.memory or self._platform_bytes)
        return core.HubLimits(
            memory_bytes=memory.total_bytes,
            large_answers_bytes=memory.large_answers_bytes,
            check_memory_bytes=memory.check_bytes,
            unread_bytes=memory.unread_bytes,
            baseline_bytes=memory.baseline_bytes,
            answer=Limits(
                max_bytes=limits.max_answer_bytes or memory.max_answer_bytes,
                max_sets=limits.max_sets,
                max_depth=limits.max_depth,
            ),
            max_head_bytes=limits.max_head_bytes,
            max_body_bytes=limits.max_body_bytes,
            body_timeout_s=self._positive(("limits", "body_timeout"), limits.body_timeout),
            keepalive_s=self._positive(("limits", "keepalive"), limits.keepalive),
            head_timeout_s=self._positive(("limits", "head_timeout"), limits.head_timeout),
            write_timeout_s=self._positive(("limits", "write_timeout"), limits.write_timeout),
            connections=limits.connections,
            idle_connections=limits.idle_connections,
            connections_per_peer=limits.connections_per_peer,
            refusals_per_second=limits.refusals_per_second,
            breaker_failures=limits.breaker_failures,
            max_input_depth=limits.max_input_depth,
            schema_time_s=self._positive(("limits", "schema_time"), limits.schema_time),
            schema_memory_bytes=limits.schema_memory_bytes or memory.schema_bytes,
            requests_in_flight=limits.requests_in_flight,
            remembered_entries=limits.remembered_entries,
            remembered_bytes=limits.remembered_bytes or memory.remembered_bytes,
            kept_questions=limits.kept_questions,
            lease_s=self._positive(("limits", "lease"), limits.lease),
            heartbeat_s=self._heartbeat(("limits", "heartbeat"), limits.heartbeat),
            default_backend_in_flight=limits.backend_in_flight,
            max_backend_in_flight=limits.max_backend_in_flight,
            max_instances=limits.max_instances,
        )


def _route_max_in_flight(written: shape.File) -> int:
    """What is written, or a part of what the smallest client may have, so that one stuck route leaves it the rest."""
    if written.route_max_in_flight is not None:
        return written.route_max_in_flight
    smallest = min((one.max_in_flight for one in written.clients), default=DEFAULT_IN_FLIGHT)
    return max(1, smallest // _PART_OF_CLIENT)


def _share(percentage: str) -> float:
    return float(percentage.removesuffix("%") or 0) / 100


def _combine(written: str | shape.Merge) -> Combine:
    if isinstance(written, shape.Merge):
        return Merge(on=tuple(written.merge.on))
    return First() if written == "first" else Concat()

"""The one place of wiring.

Builds every part, opens and closes them in order, and carries a new configuration to them.
"""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import sys
import time
import traceback
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from hub import __version__
from hub.apart.processes import Processes
from hub.config.certificates import expiry
from hub.core.clients import Client
from hub.core.directory import Directory, Grant
from hub.core.events import CertificateInForce, ConfigurationDoubtful, HubStarted, InternalFault, ProxyIgnored
from hub.core.routes import CLAIMED, RouteTable
from hub.core.tokens import TokenRing
from hub.http.admin import Admin, Readiness
from hub.http.admin_site import AdminSite
from hub.http.admission import Admission
from hub.http.app import App
from hub.http.auth import Authentication
from hub.http.getparams import GetParams, RequestIds
from hub.http.limits import PortLimits
from hub.http.listener import Successor
from hub.http.server import HttpServer
from hub.http.turns import Turns
from hub.main.certificates import Certificates, check_new, in_use, server_context
from hub.main.fixed import needs_restart
from hub.main.guarding import Guarding, guarding
from hub.main.proxies import proxy_variables
from hub.main.storing import ID_BYTES
from hub.main.supervisor import Supervisor
from hub.rpc.credentials import BackendAccess, Credentials
from hub.rpc.dial import ChannelDialler, ChannelTls, DialSecurity
from hub.rpc.link import Patience
from hub.rpc.register import Registry
from hub.rpc.resolver import SystemResolver
from hub.rpc.server import CannotListen, RpcServer, ServerTls
from hub.schema.schemas import JsonSchemas
from hub.service.ask import Asker
from hub.service.audit import AuditLog
from hub.service.breaker import Breaker
from hub.service.bulkhead import Bulkhead
from hub.service.completeness import Completeness
from hub.service.elapsed import ObservedTime
from hub.service.execute import Execute
from hub.service.freezing import Freezes
from hub.service.freshness import FreshnessLimits
from hub.service.inputs import Inputs
from hub.service.keeping import StoreKeeper
from hub.service.lastgood import LastGoodAnswers
from hub.service.membership import Membership, MembershipLimits, stored_claims, stored_sightings
from hub.service.names import FollowedNames
from hub.service.overview import Overview
from hub.service.pool import Pool
from hub.service.reading import Reading
from hub.service.remembered import RememberedAnswers
from hub.service.retention import keep_bounded
from hub.service.room import Room
from hub.service.routing import Routing
from hub.service.startup import Startup
from hub.service.taught import TaughtKeys
from hub.service.timekeeper import Timekeeper
from hub.store.memory import MemoryStore
from hub.store.sqlite import SqliteStore
from hub.telemetry.logs import logger
from hub.telemetry.memory import MemoryWatch
from hub.telemetry.metrics import Metrics, SnapshotCollector
from hub.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import TextIO

    from hub.core.settings import Address, BackendSettings, HubLimits, Settings, TlsFiles
    from hub.service.ports import Events, Link

_KEY_BYTES = 32
_OTHER_DESCRIPTORS = 256  # For ports, the store, backends and processes.
_SCHEMAS_AT_ONCE = 2
_SCARCE_BYTES = 1024 * 1024 * 1024
_LARGE_AT_ONCE = 2  # Answers that are checked at the same time: each takes a processor, and ten times its own memory.

DEV_CLIENT = Client(name="dev")


def _dev_grant(backend: str) -> Grant:
    return Grant(backend=backend, application_sets=("*",), addresses=("127.0.0.1:*", "localhost:*"), expected=False)


class Hub:
    """A whole hub. Its ports are open while its context lasts; ``drain`` before the end answers what is in flight."""

    def __init__(self, settings: Settings, log_stream: TextIO | None = None) -> None:
        """``log_stream`` is where the log goes, by default standard error."""
        self._settings = settings
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._clock = asyncio.get_running_loop().time
        self._stack = AsyncExitStack()
        self._registry = CollectorRegistry()
        log = logger(
            settings.log_format,  # type: ignore[arg-type]  # one of its literals, by schema.
            settings.log_level,
            sys.stderr if log_stream is None else log_stream,
        )
        details = settings.log_level == "debug"
        self.telemetry = Telemetry(Metrics(self._registry, __version__), log, details=details)
        self._told_certificates: dict[str, bytes] = {}
        self.supervisor = Supervisor(self.telemetry, self._clock)

    async def __aenter__(self) -> Self:
        """Open everything, the edges last.

        Raises:
            CannotListen: a port is taken.
            CannotOpenStore: the store's file cannot be used.
        """
        async with AsyncExitStack() as stack:
            await self._open_services(stack)
            await self._open_rpc(stack)
            await self._open_http(stack)
            await self._open_admin(stack)
            self._stack = stack.pop_all()
        self.readiness.missing = ()
        await self.rpc.serving(yes=True)
        listen = self._settings.listen
        self.telemetry.emit(
            HubStarted(
                version=__version__,
                http=f"{listen.http.host}:{self.http_port}",
                grpc=f"{listen.grpc.host}:{self.rpc.port}",
                admin=f"{listen.admin.host}:{self.admin_port}",
            )
        )
        self._tell_certificates(self._settings)
        self._tell_proxies()
        self._warn(self._settings)
        self._tell_descriptors()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open_services(self, stack: AsyncExitStack) -> None:
        settings, clock, limits = self._settings, self._clock, self._settings.limits
        store = _store(settings.store.url, self.telemetry)
        await stack.enter_async_context(store)
        await stack.enter_async_context(self.supervisor)
        audit = AuditLog(store, time.time)
        self._keeper = StoreKeeper(
            store=store,
            events=self.telemetry,
            clock=time.time,
            audit=audit,
            new_id=lambda: secrets.token_hex(ID_BYTES),
            expect_initialised=settings.store.expect_initialised,
        )
        await self._keeper.open()
        grants = [one.grant for one in settings.backends]
        directory: Directory[Link] = Directory(
            grants,
            await stored_claims(store, self.telemetry),
            lasting=store.lasting,
            seen=await stored_sightings(store),
            others=_dev_grant if settings.dev else None,
        )
        self._pool = Pool(directory, clock)
        self._routing = Routing(directory)
        self._remembered = RememberedAnswers(max_entries=limits.remembered_entries, max_bytes=limits.remembered_bytes)
        timekeeper = Timekeeper()
        self._check_processes, self._schema_processes = _processes(limits)
        self._room = Room(limits.large_answers_bytes, clock)
        reading = Reading(await stack.enter_async_context(self._check_processes), limits.answer)
        asker = Asker(
            pool=self._pool,
            events=self.telemetry,
            clock=clock,
            timekeeper=timekeeper,
            reading=reading,
            room=self._room,
            breaker=Breaker(limits.breaker_failures),
        )
        await stack.enter_async_context(self._schema_processes)
        schemas = JsonSchemas(self._schema_processes, within_s=limits.schema_time_s)
        self._taught = TaughtKeys(
            store=store, events=self.telemetry, clock=time.time, audit=audit, routing=self._routing
        )
        await self._taught.open()
        self._guarding = guarding(
            store=store,
            events=self.telemetry,
            clock=time.time,
            monotonic=clock,
            audit=audit,
            routing=self._routing,
            taught=self._taught,
            observed=ObservedTime(store, self.telemetry, time.monotonic),
            forget_answers=self._remembered.clear,
            kept_questions=limits.kept_questions,
            baseline_bytes=limits.baseline_bytes,
        )
        self._guard = self._guarding.guard
        await self._guarding.open()
        stack.push_async_callback(self._guarding.close)
        self._freezes = Freezes(store=store, events=self.telemetry, clock=time.time, audit=audit, accepted=self._guard)
        await self._freezes.open()
        completeness = Completeness(store)
        self._freshness = FreshnessLimits(self.telemetry)
        self._bulkhead = Bulkhead()
        self._execute = Execute(
            keeper=self._keeper,
            routing=self._routing,
            completeness=completeness,
            inputs=Inputs(directory, schemas, self.telemetry, timekeeper),
            asker=asker,
            remembered=self._remembered,
            guard=self._guard,
            freezes=self._freezes,
            uses=self._guarding.uses,
            last_good=LastGoodAnswers(store, self.telemetry, time.time),
            freshness=self._freshness,
            bulkhead=self._bulkhead,
            events=self.telemetry,
            clock=clock,
            timekeeper=timekeeper,
            reading=reading,
            room=self._room,
        )
        self._dialler = await stack.enter_async_context(
            ChannelDialler(
                clock,
                max_answer_bytes=limits.answer.max_bytes,
                security=_dial_security(settings),
                keep=partial(self.supervisor.keep, "dial_watch"),
                proxy_from_environment=settings.proxy_from_environment,
                patience=Patience(check_after_s=settings.dial.check_after_s, give_up_s=settings.dial.give_up_after_s),
            )
        )
        names = await stack.enter_async_context(
            FollowedNames(
                SystemResolver(),
                clock,
                every_s=settings.dial.resolve_every_s,
                proxied=settings.proxy_from_environment and bool(proxy_variables(os.environ)),
                keep=partial(self.supervisor.keep, "name_watch"),
            )
        )
        self.membership = Membership(
            directory=directory,
            pool=self._pool,
            routing=self._routing,
            store=store,
            dialler=self._dialler,
            names=names,
            schemas=schemas,
            events=self.telemetry,
            clock=clock,
            audit=audit,
            limits=MembershipLimits(
                lease_s=limits.lease_s,
                default_in_flight=limits.default_backend_in_flight,
                max_in_flight=limits.max_backend_in_flight,
                max_instances=limits.max_instances,
                max_addresses=settings.dial.max_addresses,
            ),
        )
        self._overview = Overview(
            directory,
            self._routing,
            completeness,
            freezes=self._freezes,
            freshness=self._freshness,
            variety=self._guarding.variety,
        )
        self.membership.configure(grants)
        self._set_routes(settings)
        self.supervisor.start("lease_expiry", self.membership.expire)
        self.supervisor.start("guard", self._guard.tend)
        self.supervisor.start("retention", lambda: keep_bounded(store, self._guarding, limits.kept_questions))
        if isinstance(store, SqliteStore):
            self.supervisor.start("store", store.watch)
        self.supervisor.start("store_watch", self._keeper.watch)

    def _set_routes(self, settings: Settings) -> None:
        self._routing.set_routes(settings.routes, claimed=settings.claimed)
        self._set_clients(settings)

    def _set_clients(self, settings: Settings) -> None:
        names = _client_names(settings)
        self._guarding.askers.take(names)
        self._bulkhead.has_several_clients = len(names) > 1

    async def _open_rpc(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        self._credentials = Credentials(_access(settings), self._key, anyone=settings.dev)
        self._registered = Registry(
            membership=self.membership,
            credentials=self._credentials,
            events=self.telemetry,
            clock=self._clock,
            hub_instance=f"{secrets.token_hex(4)}",
            max_answer_bytes=settings.limits.answer.max_bytes,
            heartbeat_s=settings.limits.heartbeat_s,
        )
        self._grpc_certificates = Certificates(settings.grpc_tls)
        address = settings.listen.grpc
        self.rpc = await stack.enter_async_context(
            RpcServer(
                self._registered,
                address=str(address) if address.host else f"[::]:{address.port}",
                max_answer_bytes=settings.limits.answer.max_bytes,
                tls=ServerTls(self._grpc_certificates.load) if settings.grpc_tls is not None else None,
            )
        )

    async def _open_http(self, stack: AsyncExitStack) -> None:
        settings, limits = self._settings, self._settings.limits
        self._request_ids = RequestIds(secrets.token_hex(4))
        self._authentication = Authentication(_client_ring(settings, self._key), anyone=_anyone(settings))
        self._admission = Admission(limits.requests_in_flight)
        self._memory = self._memory_watch(limits.memory_bytes)
        self.supervisor.start("memory", self._memory.watch)
        getparams = GetParams(
            execute=self._execute,
            authentication=self._authentication,
            admission=self._admission,
            turns=Turns(),
            events=self.telemetry,
            stopwatch=time.perf_counter,
            body_timeout_s=limits.body_timeout_s,
            max_input_depth=limits.max_input_depth,
        )
        app = App(getparams=getparams, request_ids=self._request_ids, events=self.telemetry)
        self._http_files = settings.http_tls
        self._http = HttpServer(
            app,
            PortLimits(
                max_head_bytes=limits.max_head_bytes,
                max_body_bytes=limits.max_body_bytes,
                head_timeout_s=limits.head_timeout_s,
                write_timeout_s=limits.write_timeout_s,
                keepalive_s=limits.keepalive_s,
                connections=limits.connections,
                idle_connections=limits.idle_connections,
                connections_per_peer=limits.connections_per_peer,
                refusals_per_s=limits.refusals_per_second,
                unread_bytes=limits.unread_bytes,
            ),
        )
        stack.push_async_callback(self._http.stop, settings.drain.timeout_s)
        address = settings.listen.http
        with _listening(address):
            self.http_port = await self._http.listen(
                address.host, address.port, server_context("http", settings.http_tls)
            )

    def _memory_watch(self, budget_bytes: int | None) -> MemoryWatch:
        def shrink() -> None:
            self._remembered.shrink()
            self._guarding.baselines.shrink()
            self._check_processes.shrink()
            self._schema_processes.shrink()

        def short(is_short: bool) -> None:  # noqa: FBT001 - a port with this one argument.
            self._admission.is_short_of_memory = is_short
            if is_short:
                self._room.close()
            else:
                self._room.open()

        return MemoryWatch(
            budget_bytes,
            shrink=shrink,
            short=short,
            children=lambda: [*self._check_processes.pids(), *self._schema_processes.pids()],
            events=self.telemetry,
        )

    async def _open_admin(self, stack: AsyncExitStack) -> None:
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(
            SnapshotCollector(
                _Snapshot(
                    overview=self._overview,
                    admission=self._admission,
                    bulkhead=self._bulkhead,
                    remembered=self._remembered,
                    memory=self._memory,
                    guarding=self._guarding,
                    freezes=self._freezes,
                    keeper=self._keeper,
                )
            )
        )
        settings = self._settings
        startup = Startup(self._overview.expected_back, self._clock, wait_s=settings.startup_wait_s)
        self.readiness = Readiness(lambda: self.supervisor.failing, startup.missing)
        self._admin = Admin(
            overview=self._overview,
            membership=self.membership,
            guard=self._guard,
            freezes=self._freezes,
            retention=self._guarding.eviction,
            keeper=self._keeper,
            taught=self._taught,
            notices=self.telemetry,
            metrics=self._registry,
            readiness=self.readiness,
            tokens=_admin_ring(settings, self._key),
            request_ids=self._request_ids,
            events=self.telemetry,
        )
        self._admin_files = settings.admin_tls
        runner = web.AppRunner(self._admin.app(), access_log=None)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        address = settings.listen.admin
        self._admin_site = AdminSite(runner, address.host, address.port, self._request_ids)
        with _listening(address):
            await self._admin_site.start(server_context("admin", settings.admin_tls))
        self.admin_port = runner.addresses[0][1]

    def built(self, settings: Settings) -> Replacement:
        """All that a new configuration replaces. Nothing has changed yet; this may run in another thread.

        Raises:
            ConfigurationError: it brings a certificate that cannot be used now.
        """
        check_new("http", settings.http_tls, self._http_files)
        check_new("grpc", settings.grpc_tls, self._grpc_certificates.files)
        check_new("admin", settings.admin_tls, self._admin_files)
        return Replacement(settings, self._key)

    async def apply(self, settings: Settings) -> tuple[str, ...]:
        """Take a new configuration, without a lost request; returns the changed settings that need a restart.

        Raises:
            ConfigurationError: as ``built``.
            OSError: it cannot be done now.
        """
        return await self.take(self.built(settings))

    async def take(self, new: Replacement) -> tuple[str, ...]:
        """Put in force what ``built`` gave; returns the changed settings that need a restart.

        Raises:
            OSError: it cannot be done now; nothing has changed.
        """
        await self._take_tls(new)
        return self.swap(new)

    async def _take_tls(self, new: Replacement) -> None:
        """Put the TLS of both HTTP ports in force, or of neither."""
        http, admin = (self._http_files, new.settings.http_tls), (self._admin_files, new.settings.admin_tls)
        successor, retire = Successor(), _must_retire(*http)
        if http[0] != http[1]:
            successor = await self._http.other_tls(new.http_context, retire=retire)
        if admin[0] != admin[1]:
            try:
                of_admin = await self._admin_site.other_tls(new.admin_context)
            except OSError:
                successor.close()
                raise
            await self._admin_site.replace_tls(of_admin, retire=_must_retire(*admin))
            self._admin_files = admin[1]
        if http[0] != http[1]:
            await self._http.replace_tls(successor, retire=retire)
            self._http_files = http[1]

    def swap(self, new: Replacement) -> tuple[str, ...]:
        """Put all but the TLS of the HTTP ports in force, in one step of the loop; returns as ``take``."""
        settings = new.settings
        # What may no longer be, first.
        self._authentication.replace(new.clients, anyone=_anyone(settings))
        self._credentials.replace(new.access)
        self._admin.replace_tokens(new.admins)
        redial = self._dialler.replace_security(new.dial_security)
        self.membership.configure(new.grants)
        self.membership.redial(redial)
        self._routing.take(new.routes)
        self._freshness.forget()
        self._set_clients(settings)
        if settings.grpc_tls is not None:
            self._grpc_certificates.files = settings.grpc_tls
        self._registered.recheck()
        self._tell_certificates(settings)
        self._warn(settings)
        self.readiness.needs_restart = needs_restart(self._settings, settings)
        return self.readiness.needs_restart

    def _tell_proxies(self) -> None:
        variables = proxy_variables(os.environ)
        if variables and not self._settings.proxy_from_environment:
            self.telemetry.emit(ProxyIgnored(variables=variables))

    def _tell_certificates(self, settings: Settings) -> None:
        ports = {"http": self._http_files, "grpc": self._grpc_certificates.files, "admin": self._admin_files}
        now, before = dict(in_use(ports, settings)), self._told_certificates
        for setting in sorted(now.keys() | before.keys()):
            if now.get(setting, b"") != before.get(setting, b""):
                self.telemetry.emit(CertificateInForce(setting=setting, expires_s=expiry(now.get(setting, b"")) or 0.0))
        self._told_certificates = now

    def _tell_descriptors(self) -> None:
        wanted, (allowed, _) = self._settings.limits.connections, resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed < wanted + _OTHER_DESCRIPTORS:
            self.telemetry.emit(
                ConfigurationDoubtful(
                    problem=f"limits.connections: {wanted} connections need as many file descriptors, and this process "
                    f"may have {allowed}; raise its limit (ulimit -n), or lower limits.connections"
                )
            )

    def _warn(self, settings: Settings) -> None:
        for problem in settings.warnings:
            self.telemetry.emit(ConfigurationDoubtful(problem=problem))

    async def drain(self, delay_s: float) -> None:
        """Go on answering for a while but ask callers to go elsewhere; then answer what is in flight, and no more."""
        self.readiness.missing = ("the hub is draining",)
        self._http.draining = True
        try:
            await self.rpc.serving(yes=False)
        except Exception:  # noqa: BLE001 - whatever it is, what is in flight has to be answered.
            self.telemetry.emit(InternalFault(where="drain", request_id="", traceback=traceback.format_exc()))
        await asyncio.sleep(delay_s)
        self._admission.closed = True
        await self._http.stop(self._settings.drain.timeout_s)
        self.membership.close()


def _must_retire(before: TlsFiles | None, after: TlsFiles | None) -> bool:
    """Whether a caller that the old TLS let in might be refused now."""
    return before is None or after is None or before.client_ca_pem != after.client_ca_pem


class Replacement:
    """All that a new configuration replaces, complete before anything is."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self.settings = settings
        self.clients = _client_ring(settings, key)
        self.admins = _admin_ring(settings, key)
        self.access = _access(settings)
        self.dial_security = _dial_security(settings)
        self.grants = [one.grant for one in settings.backends]
        self.http_context = server_context("http", settings.http_tls)
        self.admin_context = server_context("admin", settings.admin_tls)
        self.routes = RouteTable(settings.routes, (), claimed=settings.claimed)


class _Snapshot:
    """What the metrics count when somebody scrapes."""

    def __init__(  # noqa: PLR0913 - what is counted, each of them named at the call
        self,
        *,
        overview: Overview,
        admission: Admission,
        bulkhead: Bulkhead,
        remembered: RememberedAnswers,
        memory: MemoryWatch,
        guarding: Guarding,
        freezes: Freezes,
        keeper: StoreKeeper,
    ) -> None:
        self._freezes = freezes
        self._keeper = keeper
        self._guarding = guarding
        self._overview = overview
        self._admission = admission
        self._bulkhead = bulkhead
        self._remembered = remembered
        self._memory = memory

    def instances(self) -> Iterable[tuple[str, str, int]]:
        return self._overview.instances()

    def ignored_claims(self) -> Iterable[tuple[str, int]]:
        return self._overview.ignored_claims()

    def requests_in_flight(self) -> int:
        return self._admission.in_flight

    def route_requests(self) -> Iterable[tuple[str, int]]:
        return self._bulkhead.counts(CLAIMED)

    def held_answers(self) -> int:
        return self._guarding.guard.held_count

    def kept_questions(self) -> tuple[int, int]:
        view = self._guarding.eviction.view()
        return view.kept, view.limit

    def frozen(self) -> Iterable[str]:
        return [one.route for one in self._freezes.all()]

    def store(self) -> tuple[float, bool]:
        view = self._keeper.view()
        return view.created_at_s, view.state == "initialised"

    def memory(self) -> tuple[int, int | None]:
        return self._memory.used_bytes, self._memory.budget_bytes

    def remembered(self) -> tuple[int, int]:
        return self._remembered.entries, self._remembered.size_bytes


@contextmanager
def _listening(address: Address) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotListen(f"cannot listen for HTTP on {address}: {error.strerror}") from error


def _processes(limits: HubLimits) -> tuple[Processes, Processes]:
    """For answers, and for schemas. Where memory is scarce, one at a time of both."""
    for_answers: int | asyncio.Semaphore = _LARGE_AT_ONCE
    for_schemas: int | asyncio.Semaphore = _SCHEMAS_AT_ONCE
    if limits.memory_bytes is not None and limits.memory_bytes < _SCARCE_BYTES:
        for_answers = for_schemas = asyncio.Semaphore(1)
    return (
        Processes(most=for_answers, memory_bytes=limits.check_memory_bytes),
        Processes(most=for_schemas, memory_bytes=limits.schema_memory_bytes),
    )


def _store(url: str, events: Events) -> MemoryStore | SqliteStore:
    return MemoryStore() if url == "memory:" else SqliteStore(Path(url.removeprefix("sqlite:")), events)


def _client_ring(settings: Settings, key: bytes) -> TokenRing[Client]:
    return TokenRing(((token, one.client) for one in settings.clients for token in one.tokens), key)


def _anyone(settings: Settings) -> Client | None:
    """Who callers are without a token: a hub for development that names no client has one for all."""
    return DEV_CLIENT if settings.dev and not settings.clients else None


def _client_names(settings: Settings) -> list[str]:
    anyone = _anyone(settings)
    return [one.client.name for one in settings.clients] + ([] if anyone is None else [anyone.name])


def _admin_ring(settings: Settings, key: bytes) -> TokenRing[str]:
    return TokenRing(((token, "admin") for token in settings.admin_tokens), key)


def _access(settings: Settings) -> list[BackendAccess]:
    return [
        BackendAccess(backend=one.grant.backend, tokens=one.tokens, certificates=one.certificates)
        for one in settings.backends
    ]


def _dial_security(settings: Settings) -> dict[str, DialSecurity]:
    return {one.grant.backend: _dial_security_of(one) for one in settings.backends}


def _dial_security_of(backend: BackendSettings) -> DialSecurity:
    tls = None
    if backend.call_tls:
        tls = ChannelTls(
            ca=backend.call_ca,
            key=backend.call_key,
            certificate=backend.call_certificate,
            server_name=backend.call_server_name,
        )
    return DialSecurity(tls=tls, token=backend.call_token)

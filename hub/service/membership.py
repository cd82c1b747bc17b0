"""How backends come and go: attach, register, renew, expire, and be forgotten.

What an instance claims is written to the store before the instance is taken, so that a hub that restarts knows whom it
has to wait for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from hub.core.addresses import AddressFault, admits_behind, parse
from hub.core.directory import MAX_PATTERNS, BackendInfo, Directory, Grant, Instance
from hub.core.errors import StoreDamaged, StoreFailed, StoreLost
from hub.core.events import (
    BackendForgotten,
    ClaimIgnored,
    InstanceJoined,
    InstanceLeft,
    InstanceUnresponsive,
    StoreTrouble,
)
from hub.core.registration import Malformed, NotGranted, NotNow, TooMany, check_grant, check_info
from hub.core.texts import plain
from hub.service import records
from hub.service.dialled import Dialled, any_endpoint
from hub.service.ports import Change, WorkNotStarted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hub.core.addresses import Target
    from hub.core.directory import Kind
    from hub.service.audit import AuditLog
    from hub.service.dialled import Admits
    from hub.service.pool import Pool
    from hub.service.ports import Clock, Dialler, Events, Link, Names, Schemas, Store
    from hub.service.routing import Routing

_REPLACED = "replaced by a newer connection of the same instance"

CLAIMS = "claims"  # The store's kind for what backends claimed.

_EXPIRY_STEP_S = 0.5
_SHOWN_CHARS = 100

_decode_patterns = msgspec.json.Decoder(tuple[str, ...]).decode


def _target(address: str) -> Target:
    try:
        return parse(address)
    except AddressFault as fault:
        raise Malformed(f'the hub cannot connect to the address "{plain(address, _SHOWN_CHARS)}": {fault}') from fault


def _not_admitted(backend: str, target: Target) -> str:
    text = f'the hub\'s configuration does not allow backend "{backend}" to register the address "{target}"'
    if target.delicate:
        return f"{text}: it is {target.delicate}, which its addresses must name, without a wildcard in the host"
    return f"{text}: none of the patterns in its addresses matches"


class MembershipLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a lease lasts, and how much one backend may have of everything."""

    lease_s: float = 15.0
    default_in_flight: int = 256
    max_in_flight: int = 1024
    max_instances: int = 1000
    max_addresses: int = 100


async def stored_claims(store: Store, events: Events) -> dict[str, tuple[str, ...]]:
    """What backends had claimed before this process started.

    A claim that cannot be read counts for every name of its backend's grant, until the backend is forgotten.
    """
    claims = {}
    for backend, value in (await store.load(CLAIMS)).items():
        try:
            claims[backend] = records.read(_decode_patterns, CLAIMS, backend, value)
        except StoreDamaged as error:
            # Fail closed: who knows which names would lack its sets.
            claims[backend] = ("*",)
            events.emit(StoreTrouble(detail=f"{error}; or run: appset-hub backends forget {backend}"))
    return claims


async def stored_sightings(store: Store) -> frozenset[str]:
    """The backends that had connected before this process started, or that an operator has forgotten."""
    return frozenset(await store.load(records.SEEN))


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator took away: the backend's claimed patterns, and whether it had never connected until now."""

    backend: str
    forgotten: tuple[str, ...]
    never_seen: bool = False


class Membership:
    """The one place where instances are added and removed."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        directory: Directory[Link],
        pool: Pool,
        routing: Routing,
        store: Store,
        dialler: Dialler,
        names: Names,
        schemas: Schemas,
        events: Events,
        clock: Clock,
        audit: AuditLog,
        limits: MembershipLimits,
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._routing = routing
        self._store = store
        self._dialler = dialler
        self._names = names
        self._dialled: dict[tuple[str, Kind, str], Dialled] = {}
        self._schemas = schemas
        self._events = events
        self._clock = clock
        self._audit = audit
        self._limits = limits
        self._claiming = asyncio.Lock()
        self._closing = False

    async def attach(self, info: BackendInfo, link: Link) -> Instance[Link]:
        """Take an instance that opened a stream.

        Raises:
            RegistrationError: it is turned away.
        """
        await self._admit(info)
        instance = Instance(info=info, kind="attached", link=link, max_in_flight=self._in_flight(info))
        self._end(info.name, "registered", info.instance, _REPLACED)
        self.join(instance)
        self._tell_joined(instance)
        self._tell_ignored(info.name, self.ignored(info), info.instance)
        return instance

    async def register(self, info: BackendInfo, address: str) -> float:
        """Take or renew the lease of an instance that the hub shall dial; returns its length in seconds.

        Raises:
            RegistrationError: it is turned away.
        """
        grant = check_grant(info, self._directory.grant(info.name))
        target = _target(address)
        if not grant.allows_address(target):
            raise NotGranted(_not_admitted(info.name, target))
        address = str(target)
        known = self._dialled.get((info.name, "registered", info.instance))
        expires_s = self._clock() + self._limits.lease_s
        if known is not None and known.info == info and known.address == address:
            known.expires_s = expires_s
            return self._limits.lease_s
        await self._admit(info)
        self._dial(info, address, "registered", expires_s, lambda found: self._may_reach(info.name, target, found))
        self._tell_ignored(info.name, self.ignored(info), info.instance)
        return self._limits.lease_s

    def ignored(self, info: BackendInfo) -> tuple[str, ...]:
        """The patterns that this instance claims, but which can never count under its backend's grant."""
        ignored = self._directory.ignored_claim(info.name)
        return tuple(pattern for pattern in info.application_sets if pattern in ignored) if ignored else ()

    def deregister(self, backend: str, instance: str) -> None:
        """End a lease, if there is one."""
        self._end(backend, "registered", instance, "deregistered")

    def holds_lease(self, backend: str, instance: str) -> bool:
        """Whether an instance has registered, and its lease has not ended."""
        return (backend, "registered", instance) in self._dialled

    def expel(self, backend: str, instance: str, cause: str) -> None:
        """Remove an instance, if it is there."""
        self._end(backend, "registered", instance, cause)
        known = self._directory.find(backend, instance)
        if known is not None:
            self.leave(known, cause)

    def leaving(self, instance: Instance[Link]) -> None:
        """The instance wants no more questions."""
        instance.state = "leaving"

    def leave(self, instance: Instance[Link], cause: str) -> None:
        """Remove an instance; its backend stays a member of every route."""
        if self._directory.leave(instance):
            instance.link.close()
            self._tell_left(instance, cause)

    def configure(self, grants: Iterable[Grant]) -> None:
        """Take what the configuration says of backends: dial new addresses, leave those that are gone."""
        grants = list(grants)
        before = {backend: self._directory.ignored_claim(backend) for backend in self._directory.backends}
        self._directory.set_grants(grants)
        self._routing.set_configured_keys({grant.backend: grant.unique_by for grant in grants if grant.unique_by})
        for grant in grants:
            known = before.get(grant.backend, ())
            ignored = tuple(one for one in self._directory.ignored_claim(grant.backend) if one not in known)
            self._tell_ignored(grant.backend, ignored)
        wanted = {(grant.backend, grant.configured_address) for grant in grants if grant.configured_address}
        for backend, kind, key in list(self._dialled):
            if kind == "configured" and (backend, key) not in wanted:
                self._end(backend, kind, key, "its address was removed from the configuration")
            elif self._directory.grant(backend) is None:
                self._end(backend, kind, key, "removed from the configuration")
        for instance in list(self._directory):
            if self._directory.grant(instance.info.name) is None:
                self.leave(instance, "removed from the configuration")
        for backend, address in wanted:
            if (backend, "configured", address) not in self._dialled:
                self._dial(BackendInfo(name=backend, instance=address), address, "configured", None)

    def redial(self, backends: Collection[str]) -> None:
        """Connect anew to the dialled instances of these backends; what is in flight ends on the old connections."""
        for dialled in self._dialled.values():
            if dialled.info.name in backends:
                dialled.redial()

    async def forget(self, backend: str, who: str) -> Forgotten:
        """Take away what a backend claimed in the past, and write down who said so; returns what went.

        What its present instances claim stays. One that has never connected is not waited for from now on.

        Raises:
            StoreFailed: it could not be written; nothing changed.
        """
        async with self._claiming:
            before = self._directory.registered_claim(backend)
            after = self._directory.current_claim(backend)
            gone = tuple(pattern for pattern in before if pattern not in after)
            found = Forgotten(backend=backend, forgotten=gone, never_seen=not self._directory.seen(backend))
            await self._save(backend, after, self._audit.forgotten(backend, gone, who))
        self._events.emit(BackendForgotten(backend=backend, patterns=gone, who=who))
        return found

    async def expire(self) -> None:
        """End the leases that were not renewed, until cancelled."""
        while True:
            await asyncio.sleep(_EXPIRY_STEP_S)
            now_s = self._clock()
            for key, dialled in list(self._dialled.items()):
                if dialled.expires_s is not None and dialled.expires_s <= now_s:
                    self._end(*key, "its lease expired")

    def close(self) -> None:
        """Take nobody any more, and let every instance finish what it has."""
        self._closing = True
        for key in list(self._dialled):
            self._end(*key, "the hub is shutting down")
        for instance in list(self._directory):
            self.leave(instance, "the hub is shutting down")

    async def _admit(self, info: BackendInfo) -> None:
        """Check an instance and write down what it claims; the caller joins it before anything else can happen."""
        check_info(info)
        if info.input_schema_json:
            await self._check_schema(info.input_schema_json)
        async with self._claiming:
            if self._closing:
                raise NotNow("the hub is shutting down")
            check_grant(info, self._directory.grant(info.name))
            self._check_room(info)
            claim = self._directory.widened_claim(info)
            if claim != self._directory.registered_claim(info.name) or not self._directory.seen(info.name):
                try:
                    await self._save(info.name, claim)
                except (StoreFailed, StoreLost) as error:
                    raise NotNow("the hub's store cannot be written; nothing was registered") from error

    async def _check_schema(self, schema_json: bytes) -> None:
        try:
            problem = await self._schemas.problem(schema_json)
        except WorkNotStarted as error:
            raise NotNow(f"backend.input_schema_json cannot be checked now: {error}") from error
        if problem:
            raise Malformed(f"backend.input_schema_json cannot be used: {problem}")

    def _check_room(self, info: BackendInfo) -> None:
        # The addresses behind a registered name are limited by themselves.
        siblings = {(one.kind, one.info.instance) for one in self._directory.instances(info.name)}
        known = self.holds_lease(info.name, info.instance) or self._directory.find(info.name, info.instance) is not None
        if len(siblings) >= self._limits.max_instances and not known:
            raise TooMany(f'backend "{info.name}" has {self._limits.max_instances} instances already')
        if len(self._directory.widened_claim(info)) > MAX_PATTERNS:
            raise TooMany(f'backend "{info.name}" has claimed more than {MAX_PATTERNS} patterns; forget it first')

    async def _save(self, backend: str, patterns: tuple[str, ...], *others: Change) -> None:
        value = msgspec.json.encode(patterns) if patterns else None
        seen = Change(kind=records.SEEN, key=backend, value=b"true")
        await self._store.apply([Change(kind=CLAIMS, key=backend, value=value), seen, *others])
        self._directory.set_claim(backend, patterns)
        self._directory.set_seen(backend)
        self._routing.claims_changed()

    def _in_flight(self, info: BackendInfo) -> int:
        return min(info.max_in_flight or self._limits.default_in_flight, self._limits.max_in_flight)

    def join(self, instance: Instance[Link]) -> None:
        """Add an instance; the one whose place it takes is closed."""
        replaced = self._directory.join(instance)
        self._routing.set_declared_keys(instance.info.name, self._directory.unique_by(instance.info.name))
        if replaced is not None:
            replaced.link.close()
            self._tell_left(replaced, _REPLACED)
        self._pool.changed(instance.info.name)

    def drop(self, instance: Instance[Link]) -> None:
        """Remove an instance that could never be asked, without a word."""
        self._directory.leave(instance)

    def _may_reach(self, backend: str, target: Target, endpoint: str) -> bool:
        """Whether the hub may connect to what the name of a registered address resolves to."""
        grant = self._directory.grant(backend)
        return grant is not None and admits_behind(grant.addresses, target, endpoint)

    def _dial(
        self, info: BackendInfo, address: str, kind: Kind, expires_s: float | None, admits: Admits = any_endpoint
    ) -> None:
        key = info.name, kind, info.instance
        self._end(*key, _REPLACED)
        if kind == "registered" and (attached := self._directory.find(info.name, info.instance)) is not None:
            self.leave(attached, _REPLACED)
        self._dialled[key] = Dialled(
            info=info,
            address=address,
            kind=kind,
            max_in_flight=self._in_flight(info),
            max_addresses=self._limits.max_addresses,
            roster=self,
            dialler=self._dialler,
            events=self._events,
            expires_s=expires_s,
            admits=admits,
        )
        self._dialled[key].start(self._names)

    def _end(self, backend: str, kind: Kind, key: str, cause: str) -> None:
        """Leave a configured address or a lease, if there is one."""
        dialled = self._dialled.pop((backend, kind, key), None)
        if dialled is not None:
            dialled.end(cause)

    def reached(self, instance: Instance[Link], *, yes: bool) -> None:
        """A dialled instance can be reached from now on, or no longer."""
        if yes and instance.state in ("absent", "unresponsive"):
            instance.state = "ready"
            self._tell_joined(instance)
            self._pool.changed(instance.info.name)
        elif not yes and instance.state == "ready":
            instance.state = "absent"
            self._tell_left(instance, "the connection broke")

    def unresponsive(self, instance: Instance[Link]) -> None:
        """A dialled instance answers nothing from now on."""
        if instance.state == "ready":
            instance.state = "unresponsive"
            self._events.emit(
                InstanceUnresponsive(backend=instance.info.name, instance=instance.name, kind=instance.kind)
            )
            self._pool.changed(instance.info.name)

    def _tell_joined(self, instance: Instance[Link]) -> None:
        self._events.emit(
            InstanceJoined(
                backend=instance.info.name,
                instance=instance.name,
                kind=instance.kind,
                version=instance.info.version,
                address=instance.address,
            )
        )

    def _tell_ignored(self, backend: str, patterns: tuple[str, ...], instance: str = "") -> None:
        grant = self._directory.grant(backend)
        if patterns and grant is not None:
            granted = grant.application_sets
            self._events.emit(ClaimIgnored(backend=backend, patterns=patterns, granted=granted, instance=instance))

    def _tell_left(self, instance: Instance[Link], cause: str) -> None:
        self._events.emit(
            InstanceLeft(backend=instance.info.name, instance=instance.name, kind=instance.kind, cause=cause)
        )

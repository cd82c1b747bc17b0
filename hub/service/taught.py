"""The keys that operators have taught: read at the start, written with the audit entry, and taken back.

They last, and hold for a route, or for a backend where the route is made of claims. Whether they tell sets apart is
for the caller to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.events import KeysForgotten, KeysTaught, StoreTrouble
from hub.core.keys import Keys
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.keybook import KeyBook
    from hub.service.audit import AuditLog
    from hub.service.ports import Events, Store, WallClock
    from hub.service.routing import Routing

Kind = Literal["route", "backend"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Keys).decode


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sets keys identify."""

    kind: Kind
    name: str

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{self.kind}/{self.name}"


class KeysForgottenView(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator took back; ``forgotten`` is empty if nothing had been taught."""

    kind: Kind
    name: str
    forgotten: tuple[str, ...]


class TaughtKeys:
    """All of them."""

    def __init__(self, *, store: Store, events: Events, clock: WallClock, audit: AuditLog, routing: Routing) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._audit = audit
        self._routing = routing
        self._taught: dict[str, Keys] = {}

    async def open(self) -> None:
        """Read what was taught before this process started. What cannot be read is not used: whole sets count then."""
        for key, value in (await self._store.load(records.KEYS)).items():
            try:
                self._taught[key] = records.read(_decode, records.KEYS, key, value)
            except StoreDamaged as error:
                self._events.emit(StoreTrouble(detail=str(error)))
        self._use()

    @property
    def book(self) -> KeyBook:
        """What is known of keys."""
        return self._routing.book

    def knows(self, kind: Kind, name: str) -> bool:
        """Whether keys were taught for it."""
        return Target(kind=kind, name=name).key in self._taught

    def book_with(self, targets: tuple[Target, ...], keys: Keys) -> KeyBook:
        """What would be known if these keys were taught."""
        taught = {**self._taught, **{target.key: keys for target in targets}}
        return msgspec.structs.replace(
            self._routing.book, taught_routes=_of(taught, "route/"), taught_backends=_of(taught, "backend/")
        )

    def made(self, keys: tuple[str, ...], who: str) -> Keys:
        """Keys as an operator teaches them now."""
        return Keys(keys=keys, source="taught", by=who, at_s=self._clock())

    def writing(self, targets: tuple[Target, ...], keys: Keys) -> list[Change]:
        """What has to be written to teach keys."""
        changes: list[Change] = []
        for target in targets:
            changes += [
                Change(kind=records.KEYS, key=target.key, value=_encode(keys)),
                self._audit.taught(keys.keys, keys.by, **_named(target), forgot=False),
            ]
        return changes

    def take(self, targets: tuple[Target, ...], keys: Keys) -> None:
        """Use what the store has now."""
        for target in targets:
            self._taught[target.key] = keys
            self._events.emit(KeysTaught(kind=target.kind, name=target.name, keys=keys.keys, who=keys.by))
        self._use()

    async def forget(self, kind: Kind, name: str, who: str) -> KeysForgottenView:
        """Take back what was taught.

        Raises:
            StoreFailed: it could not be written; nothing changed.
        """
        target = Target(kind=kind, name=name)
        known = self._taught.get(target.key)
        if known is None:
            return KeysForgottenView(kind=kind, name=name, forgotten=())
        await self._store.apply(
            [
                Change(kind=records.KEYS, key=target.key, value=None),
                self._audit.taught(known.keys, who, **_named(target), forgot=True),
            ]
        )
        del self._taught[target.key]
        self._use()
        self._events.emit(KeysForgotten(kind=kind, name=name, keys=known.keys, who=who))
        return KeysForgottenView(kind=kind, name=name, forgotten=known.keys)

    def _use(self) -> None:
        self._routing.set_taught_keys(routes=_of(self._taught, "route/"), backends=_of(self._taught, "backend/"))


def _of(taught: dict[str, Keys], prefix: str) -> dict[str, Keys]:
    return {key.removeprefix(prefix): keys for key, keys in taught.items() if key.startswith(prefix)}


def _named(target: Target) -> dict[str, str]:
    return {target.kind: target.name}

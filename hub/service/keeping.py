"""Whether the store can be trusted: initialised, and still there. While it cannot, no question is answered.

An empty store has no baselines, so the first answer to each question is believed, however short it is. Where that must
not happen by accident, the configuration expects an initialised store, and an operator decides.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.errors import HubError, StoreDamaged, StoreFailed, StoreLost, StoreUninitialised
from hub.core.events import StoreInitialised, StoreOpened, StoreTrouble, StoreUnusable, StoreUsable
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.service.audit import AuditLog
    from hub.service.ports import Events, Store, WallClock

_EVERY_S = 1.0  # How long a deleted store may go unnoticed while no answer changes.

_UNINITIALISED = (
    "the hub's store is empty, and hub.yaml expects an initialised one, so baselines may be lost; Applications are "
    "left unchanged. Restore the store's file and restart the hub, or accept an empty one: appset-hub store init"
)


class StoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """That a store is initialised, since when (Unix seconds), and by whom; empty if the hub did it by itself."""

    id: str
    created_at_s: float
    by: str = ""


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """The store as operators see it. ``problem`` is what callers read instead of an answer, or empty."""

    state: Literal["initialised", "uninitialised", "lost"]
    id: str
    created_at_s: float
    lasting: bool
    problem: str


class Initialised(msgspec.Struct, frozen=True, kw_only=True):
    """What ``init`` found: whether it changed something, and the store as it is now."""

    changed: bool
    store: StoreView


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StoreRecord).decode


class StoreKeeper:
    """Initialises the store or waits for an operator to do so, and notices when it is lost."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        store: Store,
        events: Events,
        clock: WallClock,
        audit: AuditLog,
        new_id: Callable[[], str],
        expect_initialised: bool,
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._audit = audit
        self._new_id = new_id
        self._expect_initialised = expect_initialised
        self._initialising = asyncio.Lock()
        self._record: StoreRecord | None = None
        self._lost = ""

    async def open(self) -> None:
        """Find out what the store is, and initialise an empty one unless an initialised one is expected.

        Raises:
            StoreFailed: it cannot be read or written.
        """
        self._record = await self._read()
        if self._record is not None:
            self._events.emit(StoreOpened(store_id=self._record.id, created_at_s=self._record.created_at_s))
        elif await self._store.has(records.BASELINES, ""):
            await self._initialise("adopted")
        elif not self._expect_initialised:
            await self._initialise("empty")
        else:
            self._events.emit(StoreUnusable(reason=StoreUninitialised.reason, message=_UNINITIALISED))

    def take(self, record: StoreRecord) -> None:
        """Use a store that is known to be initialised."""
        self._record = record

    async def _read(self) -> StoreRecord | None:
        value = await self._store.get(records.META, records.STORE)
        try:
            return None if value is None else records.read(_decode, records.META, records.STORE, value)
        except StoreDamaged as error:
            self._events.emit(StoreTrouble(detail=str(error)))
            return None

    async def _initialise(self, how: str, who: str = "") -> None:
        record = StoreRecord(id=self._new_id(), created_at_s=self._clock(), by=who)
        changes = [Change(kind=records.META, key=records.STORE, value=_encode(record))]
        if how == "operator":
            changes.append(self._audit.initialised(record.id, who))
        await self._store.apply(changes)
        self._record = record
        self._events.emit(StoreInitialised(store_id=record.id, how=how, lasting=self._store.lasting, who=who))

    def check(self) -> None:
        """Let a question pass.

        Raises:
            StoreUninitialised: an operator has to decide about an empty store.
            StoreLost: the store is gone.
        """
        if self._lost:
            raise StoreLost(self._lost)
        if self._record is None:
            raise StoreUninitialised(_UNINITIALISED)

    async def init(self, who: str) -> Initialised:
        """Take an operator's decision to start with an empty store; an initialised one stays as it is.

        Raises:
            StoreFailed: it could not be written; nothing changed.
            StoreLost: there is no store to initialise.
        """
        async with self._initialising:
            if self._record is not None:
                return Initialised(changed=False, store=self.view())
            await self._initialise("operator", who)
        return Initialised(changed=True, store=self.view())

    async def watch(self) -> None:
        """Look whether the store is still there, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        lost = ""
        try:
            await self._store.verify()
        except StoreLost as error:
            lost = str(error)
        except StoreFailed:
            # The store has said so. It may be back at the next look; until then each question finds out by itself.
            return
        if lost and not self._lost:
            self._events.emit(StoreUnusable(reason=StoreLost.reason, message=lost))
        elif self._lost and not lost:
            self._events.emit(StoreUsable())
        self._lost = lost

    def view(self) -> StoreView:
        """The store of this moment."""
        record = self._record
        return StoreView(
            state="lost" if self._lost else "uninitialised" if record is None else "initialised",
            id="" if record is None else record.id,
            created_at_s=0.0 if record is None else record.created_at_s,
            lasting=self._store.lasting,
            problem=self._problem(),
        )

    def _problem(self) -> str:
        try:
            self.check()
        except HubError as error:
            return str(error)
        return ""

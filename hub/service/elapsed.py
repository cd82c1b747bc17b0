"""The seconds that the hub has run, counted on over restarts: for limits that a wrong time of day must not move.

The time of day may jump by a day in either direction. This count only grows, and only while a hub runs: what it says
has passed was really observed. A restart may lose what was not written yet, which makes waits longer, never shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.events import StoreTrouble
from hub.core.losses import EARLIEST_S
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.service.ports import Clock, Events, Store

_KEY = "hub"


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """How long hubs have run on this store, in seconds, as far as something waited for that."""

    seconds: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Observed).decode


class ObservedTime:
    """Counts them; ``clock`` only grows, and starts anywhere."""

    def __init__(self, store: Store, events: Events, clock: Clock) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._base_s = EARLIEST_S
        self._started_s = clock()

    def __call__(self) -> float:
        """Now, in observed seconds."""
        return self._base_s + self.uptime_s

    @property
    def uptime_s(self) -> float:
        """How long this process has run."""
        return self._clock() - self._started_s

    async def open(self) -> None:
        """Go on from where the last process was.

        Raises:
            StoreFailed: the store cannot be read.
        """
        value = await self._store.get(records.OBSERVED, _KEY)
        if value is None:
            return
        try:
            self.reached(records.read(_decode, records.OBSERVED, _KEY, value).seconds)
        except StoreDamaged as error:
            # What waits has its own stamps, so without this record it only waits longer.
            self._events.emit(StoreTrouble(detail=str(error)))

    def reached(self, seconds: float) -> None:
        """Some record says that so much has been observed, so now is not earlier."""
        self._base_s = max(self._base_s, seconds - self.uptime_s)

    async def save(self) -> None:
        """Write the count.

        Raises:
            StoreFailed: it could not be written.
            StoreLost: it would not last.
        """
        await self._store.apply([Change(kind=records.OBSERVED, key=_KEY, value=_encode(Observed(seconds=self())))])

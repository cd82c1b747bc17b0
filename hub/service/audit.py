"""Who decided what: a log that is written together with the decision, so that neither exists without the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.guard import AuditEntry
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from typing import Literal

    from hub.core.guard import HeldAnswer
    from hub.service.ports import Store, WallClock

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEntry).decode


class AuditLog:
    """Makes the entries, and reads them. The caller writes an entry in one step with what it is about."""

    def __init__(self, store: Store, clock: WallClock) -> None:
        self._store = store
        self._clock = clock
        self._written = 0

    def decided(self, held: HeldAnswer, action: Literal["accept", "reject", "release", "passed"], who: str) -> Change:
        """What became of a held answer."""
        return self._change(
            AuditEntry(
                at_s=self._clock(),
                who=who,
                action=action,
                held_id=held.id,
                subject=held.subject,
                went=held.went,
                before=held.before,
            )
        )

    def forgotten(self, backend: str, patterns: tuple[str, ...], who: str) -> Change:
        """What a backend no longer claims, because an operator said so."""
        return self._change(
            AuditEntry(at_s=self._clock(), who=who, action="forget", backend=backend, patterns=patterns)
        )

    def initialised(self, store_id: str, who: str) -> Change:
        """An operator decided to start with an empty store."""
        return self._change(AuditEntry(at_s=self._clock(), who=who, action="init", store_id=store_id))

    def frozen(self, route: str, reason: str, who: str) -> Change:
        """An operator froze a route, or all of them (an empty ``route``)."""
        return self._change(AuditEntry(at_s=self._clock(), who=who, action="freeze", route=route, reason=reason))

    def unfrozen(self, route: str, who: str) -> Change:
        """An operator lifted a freeze."""
        return self._change(AuditEntry(at_s=self._clock(), who=who, action="unfreeze", route=route))

    def taught(self, keys: tuple[str, ...], who: str, *, route: str = "", backend: str = "", forgot: bool) -> Change:
        """Which keys identify the sets of a route or a backend, or no longer do."""
        return self._change(
            AuditEntry(
                at_s=self._clock(),
                who=who,
                action="unteach" if forgot else "teach",
                route=route,
                backend=backend,
                keys=keys,
            )
        )

    def _change(self, entry: AuditEntry) -> Change:
        self._written += 1
        return Change(kind=records.AUDIT, key=f"{entry.at_s:017.6f}-{self._written}", value=_encode(entry))

    async def entries(self) -> list[AuditEntry]:
        """All entries, oldest first."""
        found = await self._store.load(records.AUDIT)
        return [records.read(_decode, records.AUDIT, key, value) for key, value in found.items()]

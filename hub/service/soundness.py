"""Which records of a store can be read: every kind with the decoder that reads it. For operators who check a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core import guard as core
from hub.core.freezes import Freeze
from hub.core.keys import Keys
from hub.core.losses import QuestionLosses
from hub.core.uses import Use
from hub.service import records
from hub.service.elapsed import Observed
from hub.service.keeping import StoreRecord
from hub.service.lastgood import LastGood
from hub.service.membership import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Iterable

_JSON: dict[str, Any] = {
    records.META: StoreRecord,
    records.BASELINES: core.Baseline,
    records.BASELINE_CHANGES: core.BaselineChange,
    records.HELD: core.HeldAnswer,
    records.HISTORY: core.History,
    records.AUDIT: core.AuditEntry,
    records.LOSSES: QuestionLosses,
    records.OBSERVED: Observed,
    records.FREEZES: Freeze,
    records.USES: Use,
    records.KEYS: Keys,
    CLAIMS: tuple[str, ...],
}
_DECODERS: dict[str, Any] = {
    **{kind: msgspec.json.Decoder(of).decode for kind, of in _JSON.items()},
    records.LAST_GOOD: msgspec.msgpack.Decoder(LastGood).decode,
}


class Soundness(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a store found: whether it is initialised, how many records it has, and those that are damaged."""

    initialised: bool
    records: int
    damaged: tuple[str, ...]


def check(found: Iterable[tuple[str, str, bytes]]) -> Soundness:
    """Read every record, given as kind, key and value."""
    count, initialised, damaged = 0, False, []
    for kind, key, value in found:
        count += 1
        initialised = initialised or (kind, key) == (records.META, records.STORE)
        decode = _DECODERS.get(kind)
        try:
            if decode is not None:
                decode(value)
        except (msgspec.DecodeError, UnicodeError, TypeError) as error:
            damaged.append(f'the record "{kind}" of "{key}" is damaged: {error}')
    return Soundness(initialised=initialised, records=count, damaged=tuple(damaged))

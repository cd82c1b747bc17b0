"""What is known of each question: its baseline and its last changes, from the store, with the last used in memory.

It reads and writes; it does not judge. A caller writes what ``accept`` makes in one step with what it is about, and
calls ``keep`` once that is done.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from hub.core import guard as core
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.service.ports import Store

MAX_CHANGES = 20  # In the history of one question.

_MAX_CACHED_IDENTITIES = 500_000  # Of all baselines in memory; the store has them all.
_CHANGED_PARTS = 10  # A baseline is written anew once more than a tenth of it has changed.

_encode = msgspec.json.Encoder().encode
_decode_baseline = msgspec.json.Decoder(core.Baseline).decode
_decode_change = msgspec.json.Decoder(core.BaselineChange).decode
_decode_history = msgspec.json.Decoder(core.History).decode


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a question: a baseline as it was written, the one of now, and the last changes.

    ``content`` is the fingerprint of the last accepted answer, where the baseline does not say as much.
    """

    written: frozenset[str]
    baseline: frozenset[str]
    changes: tuple[core.Change, ...]
    content: str = ""

    def equals(self, answer: Answer) -> bool:
        """Whether the last accepted answer was this one, in whatever order."""
        return self.content == answer.content and self.baseline == frozenset(answer.identities)


class Baselines:
    """What is known of the questions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._questions = _Questions(_MAX_CACHED_IDENTITIES)

    async def find(self, key: str) -> Known | None:
        """What is known of a question, or ``None`` if no answer to it was ever accepted.

        Raises:
            StoreDamaged: it cannot be read.
            StoreFailed: the store cannot be read.
        """
        known = self._questions.get(key)
        if known is None:
            known = await self._load(key)
            if known is not None:
                self._questions.put(key, known)
        return known

    async def _load(self, key: str) -> Known | None:
        value = await self._store.get(records.BASELINES, key)
        if value is None:
            return None
        written = frozenset(records.read(_decode_baseline, records.BASELINES, key, value).identities)
        change = await self._store.get(records.BASELINE_CHANGES, key)
        value = await self._store.get(records.HISTORY, key)
        history = None if value is None else records.read(_decode_history, records.HISTORY, key, value)
        return Known(
            written=written,
            baseline=written
            if change is None
            else _changed(written, records.read(_decode_change, records.BASELINE_CHANGES, key, change)),
            changes=() if history is None else history.changes,
            content="" if history is None else history.content,
        )

    def accept(
        self, key: str, known: Known | None, subject: core.Subject, answer: Answer, change: core.Change
    ) -> tuple[Known, list[Change]]:
        """What is known once an answer is accepted, and what has to be written for it; ``change`` says what it does."""
        changes = (*(() if known is None else known.changes), change)[-MAX_CHANGES:]
        moved, written = _moved(key, known, subject, change.at_s, answer)
        moved = msgspec.structs.replace(moved, changes=changes, content=answer.content)
        return moved, [*written, _history(key, subject, moved)]

    def accept_values(
        self, key: str, known: Known, subject: core.Subject, answer: Answer
    ) -> tuple[Known, list[Change]]:
        """As ``accept``, of an answer that has the same identities and other values."""
        moved = msgspec.structs.replace(known, content=answer.content)
        return moved, [_history(key, subject, moved)]

    def keep(self, key: str, known: Known) -> None:
        """Take what the store has now."""
        self._questions.put(key, known)

    def forget(self, key: str) -> None:
        """The store has nothing of a question any more."""
        self._questions.drop(key)

    async def history(self, application_set_name: str) -> list[core.History]:
        """The last changes of all questions of an ApplicationSet.

        Raises:
            StoreDamaged: some of them cannot be read.
            StoreFailed: the store cannot be read.
        """
        found = await self._store.load(records.HISTORY, f"{application_set_name}/")
        return [records.read(_decode_history, records.HISTORY, key, value) for key, value in found.items()]


def _history(key: str, subject: core.Subject, known: Known) -> Change:
    history = core.History(subject=subject, changes=known.changes, content=known.content)
    return Change(kind=records.HISTORY, key=key, value=_encode(history))


def _moved(
    key: str, known: Known | None, subject: core.Subject, now_s: float, answer: Answer
) -> tuple[Known, list[Change]]:
    """The baseline that an answer makes, and how it is written: whole, or as what has changed since it was."""
    baseline = frozenset(answer.identities)
    written = frozenset[str]() if known is None else known.written
    came, went = baseline - written, written - baseline
    if known is None or _CHANGED_PARTS * (len(came) + len(went)) > len(written):
        whole = core.Baseline(subject=subject, identities=answer.identities, accepted_at_s=now_s)
        return Known(written=baseline, baseline=baseline, changes=()), [
            Change(kind=records.BASELINES, key=key, value=_encode(whole)),
            Change(kind=records.BASELINE_CHANGES, key=key, value=None),
        ]
    change = core.BaselineChange(came=tuple(came), went=tuple(went), accepted_at_s=now_s)
    return Known(written=written, baseline=baseline, changes=()), [
        Change(kind=records.BASELINE_CHANGES, key=key, value=_encode(change))
    ]


def _changed(written: frozenset[str], change: core.BaselineChange) -> frozenset[str]:
    return written.difference(change.went).union(change.came)


class _Questions:
    """What is known of the questions that were asked last, within a bound on their identities."""

    def __init__(self, max_identities: int) -> None:
        self._max = max_identities
        self._size = 0
        self._known: OrderedDict[str, Known] = OrderedDict()

    def get(self, key: str) -> Known | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: str, known: Known) -> None:
        before = self._known.pop(key, None)
        self._size += _size(known) - (0 if before is None else _size(before))
        self._known[key] = known
        while self._size > self._max and len(self._known) > 1:
            _, dropped = self._known.popitem(last=False)
            self._size -= _size(dropped)

    def drop(self, key: str) -> None:
        dropped = self._known.pop(key, None)
        if dropped is not None:
            self._size -= _size(dropped)


def _size(known: Known) -> int:
    """How many identities, about: those of two baselines are mostly the same objects, but each set has its table."""
    return len(known.baseline) + (0 if known.written is known.baseline else len(known.written)) + 1

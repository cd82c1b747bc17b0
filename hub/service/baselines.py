"""What is known of each question: its baseline and its last changes, from the store, with the last used in memory.

It reads and writes; it does not judge. A caller writes what ``accept`` makes in one step with what it is about, and
calls ``keep`` once that is done.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from hub.core import guard as core
from hub.core.combine import seen_sets
from hub.core.comparison import Past, sketch, unpacked
from hub.core.identity import is_cut
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.identity import Basis
    from hub.service.ports import Store

MAX_CHANGES = 20  # In the history of one question.

_KNOWN_BYTES = 500
_ENTRY_BYTES = 180  # Of a table, with the headers of a text and of bytes.
_CHANGED_PARTS = 10  # A baseline is written anew once more than a tenth of it has changed.
_MAX_SKETCHED_BYTES = 4 * 1024 * 1024  # Of an answer; reading a larger one once more would block the loop.

_encode = msgspec.json.Encoder().encode
_decode_baseline = msgspec.json.Decoder(core.Baseline).decode
_decode_change = msgspec.json.Decoder(core.BaselineChange).decode
_decode_history = msgspec.json.Decoder(core.History).decode


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a question: the rows of a baseline as it was written, the one of now, and the changes.

    ``differ`` are the identities whose rows are not what was written, or are only in one of the two.
    """

    written: dict[str, bytes]
    past: Past
    changes: tuple[core.Change, ...]
    differ: frozenset[str] = frozenset()


class Baselines:
    """What is known of the questions."""

    def __init__(self, store: Store, *, max_cached_bytes: int) -> None:
        """``max_cached_bytes``: what is kept in memory; the store has it all."""
        self._store = store
        self._questions = _Questions(max_cached_bytes)

    def shrink(self) -> None:
        """Keep half of them in memory, those that were needed last."""
        self._questions.shrink()

    def at_hand(self, key: str) -> Known | None:
        """What is known of a question in memory, where it is if it was needed lately."""
        return self._questions.get(key)

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
        baseline = records.read(_decode_baseline, records.BASELINES, key, value)
        written = _rows(key, baseline.identities, baseline.rows, baseline.basis, baseline.columns)
        rows, differ = written, frozenset[str]()
        change = await self._store.get(records.BASELINE_CHANGES, key)
        if change is not None:
            moved = records.read(_decode_change, records.BASELINE_CHANGES, key, change)
            came = _rows(key, moved.came, moved.rows, baseline.basis, ())
            gone = frozenset(moved.went)
            differ = gone.union(came)
            rows = {identity: row for identity, row in written.items() if identity not in gone} | came
        history = await self._store.get(records.HISTORY, key)
        return Known(
            written=written,
            past=Past(rows=rows, basis=baseline.basis, columns=baseline.columns),
            differ=differ,
            changes=() if history is None else records.read(_decode_history, records.HISTORY, key, history).changes,
        )

    def accept(  # noqa: PLR0913 - all that is known of an accepted answer
        self,
        key: str,
        known: Known | None,
        *,
        subject: core.Subject,
        now_s: float,
        answer: Answer,
        verdict: core.Verdict,
        change: core.Change | None,
    ) -> tuple[Known, list[Change]]:
        """What is known once an answer is accepted, and what has to be written for it.

        ``change`` is the entry of its history; ``None`` if its sets are the same, and only their identities are made
        of something else than before.
        """
        moved, written = _moved(key, known, subject, now_s, answer, verdict)
        changes = () if known is None else known.changes
        if change is not None:
            changes = (*changes, change)[-MAX_CHANGES:]
            history = core.History(subject=subject, changes=changes)
            written.append(Change(kind=records.HISTORY, key=key, value=_encode(history)))
        return msgspec.structs.replace(moved, changes=changes), written

    def keep(self, key: str, known: Known) -> None:
        """Take what the store has now."""
        self._questions.put(key, known)

    def forget(self, key: str) -> None:
        """What is in memory of a question no longer counts: the store has nothing, or something else."""
        self._questions.drop(key)

    async def history(self, application_set_name: str) -> list[core.History]:
        """The last changes of all questions of an ApplicationSet.

        Raises:
            StoreDamaged: some of them cannot be read.
            StoreFailed: the store cannot be read.
        """
        found = await self._store.load(records.HISTORY, f"{application_set_name}/")
        return [records.read(_decode_history, records.HISTORY, key, value) for key, value in found.items()]


def _moved(  # noqa: PLR0913, PLR0917 - as for ``accept``
    key: str, known: Known | None, subject: core.Subject, now_s: float, answer: Answer, verdict: core.Verdict
) -> tuple[Known, list[Change]]:
    """The baseline that an answer makes, and how it is written: whole, or as what has changed since it was."""
    if known is None or known.past.basis != answer.basis:
        return _whole(key, subject, now_s, answer)
    written, rows = known.written, _moved_rows(known.past.rows, answer, verdict)
    differ = known.differ.union(verdict.came, verdict.went, verdict.changed)
    came = tuple(one for one in differ if one in rows and written.get(one) != rows[one])
    went = tuple(one for one in differ if one in written and one not in rows)
    if _CHANGED_PARTS * (len(came) + len(went)) > len(written):
        return _whole(key, subject, now_s, answer)
    change = core.BaselineChange(
        came=came, went=went, accepted_at_s=now_s, rows=b"".join(rows[identity] for identity in came)
    )
    past = msgspec.structs.replace(known.past, rows=rows)
    return Known(written=written, past=past, changes=(), differ=frozenset((*came, *went))), [
        Change(kind=records.BASELINE_CHANGES, key=key, value=_encode(change))
    ]


def _whole(key: str, subject: core.Subject, now_s: float, answer: Answer) -> tuple[Known, list[Change]]:
    rows = _new_rows(answer)
    columns: tuple[str, ...] = ()
    if answer.basis.is_whole and len(answer.body) <= _MAX_SKETCHED_BYTES and any(map(is_cut, rows)):
        sketched = sketch(answer.identities, seen_sets(answer)[0])
        rows, columns = rows | sketched.rows, sketched.columns
    whole = core.Baseline(
        subject=subject,
        identities=tuple(rows),
        accepted_at_s=now_s,
        basis=answer.basis,
        columns=columns,
        rows=b"".join(rows.values()),
    )
    return Known(written=rows, past=Past(rows=rows, basis=answer.basis, columns=columns), changes=()), [
        Change(kind=records.BASELINES, key=key, value=_encode(whole)),
        Change(kind=records.BASELINE_CHANGES, key=key, value=None),
    ]


def _new_rows(answer: Answer) -> dict[str, bytes]:
    """The rows of an answer's identities."""
    if answer.prints:
        return dict(zip(answer.identities, answer.prints, strict=True))
    return dict.fromkeys(answer.identities, b"")


def _moved_rows(rows: dict[str, bytes], answer: Answer, verdict: core.Verdict) -> dict[str, bytes]:
    """The rows of an answer's identities; of whole sets that were there before, those that were kept of them."""
    moved = rows.copy()
    for identity in verdict.went:
        del moved[identity]
    if verdict.changed or (verdict.came and answer.prints):
        moved.update(_new_rows(answer))
    else:
        moved.update(dict.fromkeys(verdict.came, b""))
    return moved


def _rows(
    key: str, names: tuple[str, ...], rows: bytes, basis: Basis | None, columns: tuple[str, ...]
) -> dict[str, bytes]:
    try:
        return unpacked(names, rows, basis, columns)
    except ValueError as error:
        raise records.damaged(records.BASELINES, key) from error


class _Questions:
    """What is known of the questions that were asked last, within a bound on its size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._known: OrderedDict[str, tuple[Known, int]] = OrderedDict()

    def get(self, key: str) -> Known | None:
        found = self._known.get(key)
        if found is None:
            return None
        self._known.move_to_end(key)
        return found[0]

    def put(self, key: str, known: Known) -> None:
        self.drop(key)
        size_bytes = _size_bytes(known)
        self._known[key] = (known, size_bytes)
        self._size_bytes += size_bytes
        while self._size_bytes > self._max_bytes and len(self._known) > 1:
            self.drop(next(iter(self._known)))

    def shrink(self) -> None:
        keep_bytes = self._size_bytes // 2
        while self._size_bytes > keep_bytes:
            self.drop(next(iter(self._known)))

    def drop(self, key: str) -> None:
        _, size_bytes = self._known.pop(key, (None, 0))
        self._size_bytes -= size_bytes


def _size_bytes(known: Known) -> int:
    """What it holds in memory, about: two baselines are mostly the same objects, but each has its table."""
    rows = known.past.rows
    tables = len(rows) + (0 if known.written is rows else len(known.written))
    return _KNOWN_BYTES + _ENTRY_BYTES * tables + sum(map(len, rows)) + sum(map(len, rows.values()))

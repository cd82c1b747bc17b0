"""How an answer compares with what is kept of the one before, also when the keys that identify a set have changed.

The same rule is applied to both. Where whole sets counted and keys count now, the old sets are found by their values
under these keys, as far as these were kept. Where other keys counted, the new sets are taken by the old keys once. What
cannot be found either way is judged as missing: the hub then refuses rather than guesses.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.identity import (
    PRINT_BYTES,
    WHOLE,
    Basis,
    by_member,
    has_keys,
    identify,
    identities,
    is_cut,
    is_missing,
    print_of,
    prints,
    whole_set,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hub.core.combine import Answer
    from hub.core.keys import Identified

MAX_COLUMNS = 5  # Fingerprints that are kept of a whole set; five take half of the room that its identity takes.
MAX_SUGGESTED = 3  # Keys that are suggested together.

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # What may stand in a message, and in a command that it suggests.

_EXAMINED_SETS = 1000  # Enough to see which keys tell sets apart.
_EXAMINED_KEYS = 12
_FEWEST_KEYS = 3
_EXAMINED_VALUES = 200_000  # Of all that is compared for one suggestion, so that it takes no longer than 100 ms.
_PERSISTS = 0.5  # Of the sets that could be the same, at least so many must have the same value under suggested keys.

_NO_VALUE = bytes(PRINT_BYTES)

Values = tuple[bytes, ...]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the last accepted answer: the row of each identity, and what both are made of.

    A row is a fingerprint of the whole set if keys identify it. If the set counts as a whole and its identity is cut,
    it is a fingerprint of its value under each of ``columns``; otherwise it is empty. ``basis`` is ``None`` if an
    older hub wrote it.
    """

    rows: dict[str, bytes]
    basis: Basis | None = WHOLE
    columns: tuple[str, ...] = ()

    def has(self, answer: Identified | Answer) -> bool:
        """Whether an answer has just these sets, and none has changed."""
        if self.basis != answer.basis or self.rows.keys() != frozenset(answer.identities):
            return False
        rows = self.rows
        return all(rows[one] == row for one, row in zip(answer.identities, answer.prints, strict=False) if row)


NOTHING = Past(rows={})


class Aligned(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's sets by the identities of the past: ``after`` has the old identity of each set that was there.

    ``changed`` are the old identities whose sets have other values now, as far as that can be told.
    """

    after: tuple[str, ...]
    changed: tuple[str, ...] = ()


def align(
    past: Past, answer: Identified | Answer, sets: Callable[[], Sequence[dict[str, Any]]], origins: Mapping[str, int]
) -> Aligned:
    """Find the sets of an answer among those of the past. ``sets`` reads the answer, and is called if it must."""
    if past.basis == answer.basis:
        return Aligned(after=answer.identities, changed=_changed(past.rows, answer.identities, answer.prints))
    if past.basis is None:
        return _align_unknown(past, answer, sets, origins)
    if past.basis.is_whole:
        return by_values(past, sets(), origins, answer.basis, answer.identities)
    return _by_old_keys(past, sets(), origins)


def _align_unknown(
    past: Past, answer: Identified | Answer, sets: Callable[[], Sequence[dict[str, Any]]], origins: Mapping[str, int]
) -> Aligned:
    """An older hub did not say what its identities were made of: either what they are made of now, or whole sets.

    The one is never mistaken for the other, because the text of a whole set is a JSON object.
    """
    same = Aligned(after=answer.identities)
    if answer.basis.is_whole or past.rows.keys() <= frozenset(same.after):
        return same
    whole = msgspec.structs.replace(past, basis=WHOLE)
    other = by_values(whole, sets(), origins, answer.basis, answer.identities)
    return min(same, other, key=lambda one: len(past.rows.keys() - frozenset(one.after)))


def _by_old_keys(past: Past, sets: Sequence[dict[str, Any]], origins: Mapping[str, int]) -> Aligned:
    found = identify(sets, origins, past.basis or WHOLE)
    if found is None or len(set(found)) < len(found):
        # Nothing can be compared. Whole sets are never taken for values under keys, so all of the past is missing.
        return Aligned(after=identities(sets, ()))
    return Aligned(after=found, changed=_changed(past.rows, found, prints(sets)))


def by_values(
    past: Past,
    sets: Sequence[dict[str, Any]],
    origins: Mapping[str, int],
    basis: Basis,
    names: Sequence[str],
) -> Aligned:
    """Find sets among whole ones: the equal ones first, then those with equal values under the keys of ``basis``.

    ``names`` are the new identities, for sets that were not there.
    """
    wholes = identities(sets, ())
    keys = _keys_of_sets(sets, origins, basis)
    index = _index(past, set(keys))
    after, changed = list(names), []
    equal = {whole for whole in wholes if whole in past.rows}
    taken = set(equal)
    for position, (one, whole) in enumerate(zip(sets, wholes, strict=True)):
        if whole in equal:
            after[position] = whole
            continue
        old = index.get((keys[position], values_of(one, keys[position])))
        if old is not None and old not in taken:
            taken.add(old)
            after[position] = old
            changed.append(old)
    return Aligned(after=tuple(after), changed=tuple(sorted(changed)))


def _keys_of_sets(sets: Sequence[dict[str, Any]], origins: Mapping[str, int], basis: Basis) -> list[tuple[str, ...]]:
    if not basis.members:
        return [basis.keys] * len(sets)
    return [basis.keys_of(member) for member, part in by_member(sets, origins) for _ in part]


def _index(past: Past, all_keys: Iterable[tuple[str, ...]]) -> dict[tuple[tuple[str, ...], Values | None], str]:
    """The sets of the past by their values under keys; of several with equal values only the first is found."""
    index: dict[tuple[tuple[str, ...], Values | None], str] = {}
    for keys in all_keys:
        if not keys:
            continue
        for identity, row in past.rows.items():
            values = _old_values(identity, row, past.columns, keys)
            if values is not None:
                index.setdefault((keys, values), identity)
    return index


def _old_values(identity: str, row: bytes, columns: tuple[str, ...], keys: tuple[str, ...]) -> Values | None:
    """A whole set's values under keys, as fingerprints; ``None`` if they were not kept."""
    one = whole_set(identity)
    if one is not None:
        return values_of(one, keys)
    if len(row) != PRINT_BYTES * len(columns) or not all(key in columns for key in keys):
        return None
    starts = [PRINT_BYTES * columns.index(key) for key in keys]
    values = tuple(row[start : start + PRINT_BYTES] for start in starts)
    return None if _NO_VALUE in values else values


def values_of(one: Mapping[str, Any], keys: Sequence[str]) -> Values | None:
    """A set's values under keys, as fingerprints; ``None`` if it lacks one."""
    return tuple(print_of(one[key]) for key in keys) if has_keys(one, keys) else None


def _changed(rows: Mapping[str, bytes], names: Iterable[str], new_rows: Sequence[bytes]) -> tuple[str, ...]:
    if not new_rows:
        return ()
    pairs = zip(names, new_rows, strict=True)
    return tuple(sorted([name for name, row in pairs if row and (old := rows.get(name)) and old != row]))


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of whole sets besides their identities: the row of each set whose identity is cut."""

    columns: tuple[str, ...] = ()
    rows: dict[str, bytes] = {}


def sketch(wholes: Sequence[str], sets: Sequence[dict[str, Any]]) -> Sketch:
    """Keep the values that are most likely to identify these sets later; ``wholes`` are their identities."""
    cut = [(whole, one) for whole, one in zip(wholes, sets, strict=True) if is_cut(whole)]
    if not cut:
        return Sketch()
    columns = _telling(sets)
    return Sketch(
        columns=columns,
        rows={
            whole: b"".join(_NO_VALUE if is_missing(value := one.get(key)) else print_of(value) for key in columns)
            for whole, one in cut
        },
    )


def _telling(sets: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The keys that tell most sets apart; of equal ones those with the shortest values, as names are."""
    examined = sets[:_EXAMINED_SETS]
    ranked: list[tuple[int, int, int, str]] = []
    for order, key in enumerate(dict.fromkeys(key for one in examined for key in one)):
        values = [value for one in examined if _is_name(value := one.get(key))]
        if values and not _counts(values):
            texts = [str(value) for value in values]
            ranked.append((-len(set(texts)), sum(map(len, texts)), order, key))
    return tuple(key for *_, key in sorted(ranked)[:MAX_COLUMNS])


def _is_name(value: Any) -> bool:
    return type(value) in (str, int) and value != ""


def _counts(values: Sequence[Any]) -> bool:
    """Whether values are merely the positions of their sets, from zero or one on."""
    if len(values) == 1:
        return False
    texts = [str(value) for value in values]
    return any(texts == [str(position) for position in range(start, start + len(texts))] for start in (0, 1))


def suggest(past: Past, sets: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The fewest keys that tell the whole sets of the past apart and those of an answer, and whose values persist.

    Empty if there are none: a position in the list, or a value that changes with each release, identifies nothing.
    """
    total = len(sets) + len(past.rows)
    new = _new_columns(sets, max(_FEWEST_KEYS, min(_EXAMINED_KEYS, _EXAMINED_VALUES // (2 * total + 1))))
    old = _old_columns(past, tuple(new))
    left = _EXAMINED_VALUES
    for size in range(1, MAX_SUGGESTED + 1):
        best: tuple[str, ...] = ()
        best_share = 0.0
        for together in combinations(old, size):
            left -= total * size
            if left < 0 and size > 1:
                return ()
            share = _persists([old[key] for key in together], [new[key] for key in together])
            if share > best_share:
                best, best_share = together, share
        if best_share >= _PERSISTS:
            return best
    return ()


def _persists(old: list[list[bytes]], new: list[list[bytes]]) -> float:
    """The share of the sets that could be the same whose values are there again; zero if two sets share theirs."""
    before, after = list(zip(*old, strict=True)), list(zip(*new, strict=True))
    distinct_before, distinct_after = set(before), set(after)
    if len(distinct_before) < len(before) or len(distinct_after) < len(after):
        return 0.0
    return len(distinct_before & distinct_after) / min(len(before), len(after))


def _new_columns(sets: Sequence[dict[str, Any]], most: int) -> dict[str, list[bytes]]:
    """The values of an answer under each key that may be a name, in the order of the keys in its first set."""
    columns: dict[str, list[bytes]] = {}
    for key in [key for key in sets[0] if _PLAIN_KEY.fullmatch(key)][: 4 * most] if sets else ():
        values = [one.get(key) for one in sets]
        if all(_is_name(value) for value in values) and not _counts(values):
            columns[key] = [print_of(value) for value in values]
        if len(columns) == most:
            break
    return columns


def _old_columns(past: Past, keys: tuple[str, ...]) -> dict[str, list[bytes]]:
    """The values of the past under each of these keys under which all sets had one that was kept."""
    columns: dict[str, list[bytes]] = {key: [] for key in keys}
    for identity, row in past.rows.items():
        for key, value in _old_row(identity, row, past.columns, keys).items():
            columns[key].append(value)
    return {key: values for key, values in columns.items() if len(values) == len(past.rows)}


def _old_row(identity: str, row: bytes, columns: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, bytes]:
    one = whole_set(identity)
    if one is not None:
        return {key: print_of(value) for key in keys if not is_missing(value := one.get(key))}
    found = {key: _old_values(identity, row, columns, (key,)) for key in keys}
    return {key: values[0] for key, values in found.items() if values is not None}


def row_widths(names: Iterable[str], basis: Basis | None, columns: tuple[str, ...]) -> list[int]:
    """How many bytes the row of each identity has, where all rows are written in one."""
    if basis is None:
        return [0 for _ in names]
    if basis.members:
        return [0 if name.startswith("{") else PRINT_BYTES for name in names]
    if basis.keys:
        return [PRINT_BYTES for _ in names]
    return [PRINT_BYTES * len(columns) if is_cut(name) else 0 for name in names]


def unpacked(names: Sequence[str], rows: bytes, basis: Basis | None, columns: tuple[str, ...]) -> dict[str, bytes]:
    """The row of each identity.

    Raises:
        ValueError: there are more or fewer bytes than rows.
    """
    found: dict[str, bytes] = {}
    start = 0
    for name, width in zip(names, row_widths(names, basis, columns), strict=True):
        found[name] = rows[start : start + width]
        start += width
    if start != len(rows):
        raise ValueError("the rows do not fit the identities")
    return found

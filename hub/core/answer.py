"""What makes an answer fit to leave the hub.

Argo CD deletes the Applications whose parameter sets are missing or changed, and it takes nearly anything for an empty
list. So an answer is read whole, whatever could be misread is refused with its place, and what leaves is written anew.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.amendment import amendment, starts, starts_after
from hub.core.errors import AnswerRefused
from hub.core.flattened import leaves, named, twice
from hub.core.identity import identities
from hub.core.nesting import MAX_LEVELS, is_deeper

if TYPE_CHECKING:
    from array import array

    from hub.core.flattened import Path

# From here on Argo CD's templates render a number with an exponent: 1000000 becomes 1e+06.
EXPONENT_FROM = 1_000_000

# Argo CD overwrites both in every parameter set ("values" when the spec has some).
RESERVED_KEYS = ("generator", "values")

_MAX_SHOWN_CHARS = 64

_LARGE_BYTES = 16 * 1024  # From here on, reading only what differs costs less than reading all.


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How large an answer may be: bytes of JSON, parameter sets, and levels of nesting in one set."""

    max_bytes: int = 16 * 1024 * 1024
    max_sets: int = 20_000
    max_depth: int = 32


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something risky in an answer that is sent all the same.

    ``kind`` is a constant (a metric's label); ``text`` says where and what, without a parameter's value.
    """

    kind: str
    text: str
    severity: str = "warning"


class CheckedAnswer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A member's answer that passed the check.

    ``raw`` is what the backend sent, kept so that an equal answer need not be read again; ``sets_json`` is the JSON
    array that was written anew. They are one object when they are equal. ``identities``, if they were asked for, say
    what makes each set the one that it is. ``lists`` says how many elements the lists in the sets have together, by the
    key in the set. ``beyond_float`` is where the first integer is that a float of 64 bits cannot hold. ``starts`` are
    where the sets start, so that the next answer need be read only where it differs; ``None`` where it is read whole.
    """

    raw: bytes
    sets_json: bytes
    count: int
    digest: str = ""
    notices: tuple[Notice, ...] = ()
    identities: tuple[str, ...] = ()
    lists: dict[str, int] = {}
    beyond_float: str = ""
    starts: array[int] | None = None

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, about."""
        written_twice = 0 if self.raw is self.sets_json else len(self.raw)
        return len(self.sets_json) + written_twice + 4 * len(self.starts or ()) + 200


class _Real(str):
    """The text of a number with a fraction or an exponent."""

    __slots__ = ()


# Texts are matched too, so that nothing in them is taken for a number.
_MAYBE_NEGATIVE_ZERO = re.compile(rb"[\[:,\s]-0(?![0-9.eE])")
_NEGATIVE_ZERO = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-0(?![0-9.eE])')

# A text that a colon follows is a key; other texts are matched too, so that nothing in them is taken for one.
_TEXT_OR_KEY = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"([ \t\r\n]*+:)?+')

_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_texts = msgspec.json.Decoder(list[dict[str, str]]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_reals = msgspec.json.Decoder(float_hook=_Real).decode
_encode = msgspec.json.Encoder().encode


def check(  # noqa: PLR0913 - each is named at the call
    raw: bytes,
    *,
    subject: str,
    limits: Limits,
    digest: str = "",
    before: CheckedAnswer | None = None,
    identify: bool = False,
) -> CheckedAnswer:
    """Check an answer and write it anew.

    Args:
        raw: one JSON array of objects, UTF-8.
        subject: who gave it, as it begins a message: ``backend "images"``.
        limits: how large it may be.
        digest: the backend's own fingerprint of it.
        before: the last answer of the same backend to the same question, if it is known.
        identify: the sets' identities are wanted.

    Raises:
        AnswerRefused: it breaks the contract; the text names the set and the key.
    """
    if before is not None and (amended := amend(raw, before, limits, digest, identify=identify)) is not None:
        return amended
    sets, notices, lists, beyond_float = _read(raw, subject, limits)
    sets_json = _encode(sets)
    if sets_json != raw and _count_keys(sets_json) != _count_keys(raw):
        raise AnswerRefused(f"{subject}: {_place_of_double_key(raw)} is there twice; which value is meant?")
    is_plain = sets_json == raw and not notices
    return CheckedAnswer(
        raw=sets_json if sets_json == raw else raw,
        sets_json=sets_json,
        count=len(sets),
        digest=digest,
        notices=notices,
        identities=identities(sets, ()) if identify else (),
        lists=lists,
        beyond_float=beyond_float,
        starts=starts(sets_json) if is_plain and len(sets_json) >= _LARGE_BYTES else None,
    )


def amend(  # noqa: PLR0913 - each is named at the call
    raw: bytes,
    before: CheckedAnswer,
    limits: Limits,
    digest: str,
    *,
    identify: bool,
    max_middle_bytes: int | None = None,
) -> CheckedAnswer | None:
    """An answer that differs from the one before in a part of it, of which only that part is read.

    ``None`` where anything is out of the ordinary, whatever it is, or more than ``max_middle_bytes`` differ: reading
    the whole then tells.
    """
    if before.starts is None or len(raw) > limits.max_bytes or (identify and len(before.identities) != before.count):
        return None
    if before.lists:
        # What is gone may have had some of the elements.
        return None
    made = amendment(before.sets_json, before.starts, raw)
    most_bytes = len(raw) // 2
    if max_middle_bytes is not None:
        most_bytes = min(most_bytes, max_middle_bytes)
    if made is None or len(made.middle) > most_bytes:
        return None
    try:
        sets = _decode_texts(made.middle)
    except (msgspec.DecodeError, UnicodeError):
        return None
    count = made.first + len(sets) + made.last
    if count > limits.max_sets or not _is_ordinary(sets) or _encode(sets) != made.middle:
        return None
    last_from = before.count - made.last
    return CheckedAnswer(
        raw=raw,
        sets_json=raw,
        count=count,
        digest=digest,
        identities=(
            (*before.identities[: made.first], *identities(sets, ()), *before.identities[last_from:])
            if identify
            else ()
        ),
        starts=starts_after(before.starts, made, before.sets_json, raw),
    )


def _is_ordinary(texts: list[dict[str, str]]) -> bool:
    """Whether sets of nothing but text need no closer look: none is empty, and none has a reserved key."""
    return all(texts) and not any("generator" in one or "values" in one for one in texts)


def check_sets(sets: list[dict[str, Any]], *, subject: str, limits: Limits) -> None:
    """Check parameter sets that the hub itself put together.

    Raises:
        AnswerRefused: as for ``check``.
    """
    _check_count(sets, subject, limits)
    examiner = _Examiner(subject, limits, len(sets))
    examiner.examine(sets)
    if examiner.beyond_float:
        raise beyond_float(subject, examiner.beyond_float)


def beyond_float(subject: str, where: str) -> AnswerRefused:
    """Argo CD reads each number as a float of 64 bits, and refuses the whole answer if one does not fit."""
    return AnswerRefused(
        f"{subject}: {where} is an integer too large for Argo CD; send it as text, or set numbers: text for the route"
    )


_Read = tuple[list[dict[str, Any]], tuple[Notice, ...], dict[str, int], str]
"""The sets of an answer, what is risky in them, how many elements their lists have, and a number beyond floats."""


def _read(raw: bytes, subject: str, limits: Limits) -> _Read:
    if not raw:
        raise AnswerRefused(f'{subject} answered with nothing at all; an empty list is "[]"')
    if len(raw) > limits.max_bytes:
        raise AnswerRefused(
            f"{subject} answered with {len(raw)} bytes, and limits.max_answer_bytes is {limits.max_bytes}; return "
            "fewer or smaller parameter sets, or raise the limit"
        )
    try:
        texts = _decode_texts(raw)
    except msgspec.ValidationError:
        return _read_values(raw, subject, limits)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise AnswerRefused(f"{subject} answered with {_explain(error)}") from error
    _check_count(texts, subject, limits)
    # Sets of nothing but text need no walk: there is no number, null or nesting in them.
    if _is_ordinary(texts):
        return texts, (), {}, ""
    return texts, _Examiner(subject, limits, len(texts)).examine(texts), {}, ""


def _read_values(raw: bytes, subject: str, limits: Limits) -> _Read:
    """Read an answer in which something is no text."""
    try:
        # Looked for only if it may be there: each look reads the whole answer.
        exact = _NEGATIVE_ZERO.sub(_as_real, raw) if _MAYBE_NEGATIVE_ZERO.search(raw) else raw
        sets = _as_list(_decode(exact, subject), subject)
        _check_count(sets, subject, limits)
        examiner = _Examiner(subject, limits, len(sets))
        return sets, examiner.examine(sets), examiner.lists, examiner.beyond_float
    except (AnswerRefused, RecursionError) as error:
        # Counted only now, so that a good answer does not pay for it. An interpreter that decodes deeper than another
        # finds another fault, or the same one by another name; the message must be the same.
        if is_deeper(raw, 1 + MAX_LEVELS):
            raise AnswerRefused(f"{subject} answered with JSON that is nested too deeply") from error
        raise


def _as_real(match: re.Match[bytes]) -> bytes:
    # Python has no integer -0; as a real it keeps its sign, as it does in Argo CD.
    return b"-0.0" if match[0] == b"-0" else match[0]


def _as_list(sets: Any, subject: str) -> list[Any]:
    if not isinstance(sets, list):
        raise AnswerRefused(f"{subject} answered with {_kind(sets)}; expected a list of parameter sets")
    return sets


def _check_count(sets: list[Any], subject: str, limits: Limits) -> None:
    if len(sets) > limits.max_sets:
        raise AnswerRefused(f"{subject} answered with more than {limits.max_sets} parameter sets")


def _decode(raw: bytes, subject: str) -> Any:
    try:
        return _decode_any(raw)
    except msgspec.ValidationError as error:
        raise AnswerRefused(f"{subject} answered with a number out of range{_place_of_infinity(raw)}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise AnswerRefused(f"{subject} answered with {_explain(error)}") from error


def _place_of_infinity(raw: bytes) -> str:
    try:
        sets = _decode_reals(raw)
    except (msgspec.DecodeError, UnicodeError):
        return ""
    for index, one in enumerate(sets if isinstance(sets, list) else ()):
        for path, value in leaves(one):
            if isinstance(value, _Real) and float(value) in (float("inf"), float("-inf")):
                return f": {place(index, len(sets), named(path))}"
    return ""


def _count_keys(text: bytes) -> int:
    colons = _TEXT_OR_KEY.findall(text)
    return len(colons) - colons.count(b"")


def _place_of_double_key(raw: bytes) -> str:
    """Where a key is there twice: an answer in which one is has fewer keys once it is read."""
    doubles: list[str] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                doubles.append(key)
            seen.add(key)
        return dict(pairs)

    for index, one in enumerate(sets := _decode_raws(raw)):
        json.loads(bytes(one), object_pairs_hook=paired)
        if doubles:
            return place(index, len(sets), doubles[0])
    return "a key"


def _explain(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "text that is not valid UTF-8"
    return f"something that is not JSON ({str(error).removeprefix('JSON is malformed: ').lower()})"


def _fits_float(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a number"


def shown(text: str) -> str:
    """A key or a path as a message shows it: quoted, and cut when it is long."""
    return f'"{text[:_MAX_SHOWN_CHARS]}…"' if len(text) > _MAX_SHOWN_CHARS else f'"{text}"'


def place(index: int, total: int, path: str | None = None) -> str:
    """Where in an answer: the set, counted from one, and the key in it."""
    where = f"set {index + 1} of {total}"
    return where if path is None else f"{where}, key {shown(path)}"


class _Examiner:
    """One walk through an answer's sets: refuses what breaks the contract, and collects what is only risky."""

    __slots__ = ("_counts", "_dotted", "_first", "_limits", "_nested", "_subject", "_total", "beyond_float", "lists")

    def __init__(self, subject: str, limits: Limits, total: int) -> None:
        self._subject = subject
        self._limits = limits
        self._total = total
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._nested = False
        self._dotted = False
        self.beyond_float = ""
        self.lists: dict[str, int] = {}

    def examine(self, sets: list[Any]) -> tuple[Notice, ...]:
        for index, one in enumerate(sets):
            if type(one) is not dict:
                raise AnswerRefused(f"{self._subject}: {place(index, self._total)} is {_kind(one)}; expected an object")
            if not one:
                raise AnswerRefused(f"{self._subject}: {place(index, self._total)} is empty")
            self._examine_set(index, one)
        return tuple(
            Notice(kind=kind, text=f"{self._first[kind]} {_RISKS[kind]} ({count} in this answer)")
            for kind, count in self._counts.items()
        )

    def _examine_set(self, index: int, one: dict[str, Any]) -> None:
        self._nested = self._dotted = False
        for key, value in one.items():
            if key in RESERVED_KEYS:
                self._note("reserved_key", index, (None, key))
            if "." in key:
                self._dotted = True
            if type(value) is not str:
                if type(value) is list:
                    self.lists[key] = self.lists.get(key, 0) + len(value)
                self._examine_value(index, (None, key), value, 1)
        if self._nested and self._dotted:
            self._refuse_collisions(index, one)

    def _examine_value(self, index: int, path: Path, value: Any, depth: int) -> None:
        if type(value) is bool or type(value) is str:
            return
        if type(value) is int or type(value) is float:
            if not -EXPONENT_FROM < value < EXPONENT_FROM:
                self._examine_large(index, path, value)
        elif value is None:
            self._note("null_value", index, path)
        elif not value:
            self._note("empty_value", index, path)
        else:
            self._examine_nested(index, path, value, depth + 1)

    def _examine_large(self, index: int, path: Path, value: float) -> None:
        self._note("large_number", index, path)
        if not self.beyond_float and type(value) is int and not _fits_float(value):
            self.beyond_float = place(index, self._total, named(path))

    def _examine_nested(self, index: int, path: Path, value: dict[str, Any] | list[Any], depth: int) -> None:
        if depth > self._limits.max_depth:
            raise AnswerRefused(
                f"{self._subject}: {place(index, self._total, named(path))} is nested deeper than "
                f"{self._limits.max_depth} levels"
            )
        self._nested = True
        if isinstance(value, list):
            for position, inner in enumerate(value):
                self._examine_value(index, (path, position), inner, depth)
            return
        for key, inner in value.items():
            if "." in key:
                self._dotted = True
            self._examine_value(index, (path, key), inner, depth)

    def _refuse_collisions(self, index: int, one: dict[str, Any]) -> None:
        # Without goTemplate Argo CD flattens a set with dots, and of two equal names keeps a random one.
        path = twice(one)
        if path is not None:
            raise AnswerRefused(
                f"{self._subject}: {place(index, self._total, path)} is there twice once nested keys are joined "
                "with dots; rename one"
            )

    def _note(self, kind: str, index: int, path: Path) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind not in self._first:
            self._first[kind] = place(index, self._total, named(path))


_RISKS = {
    "large_number": "is a number that templates render with an exponent; send it as text",
    "null_value": "is null, which templates render as text of its own",
    "empty_value": "is an empty list or map, which vanishes without goTemplate",
    "reserved_key": "is overwritten by Argo CD",
}

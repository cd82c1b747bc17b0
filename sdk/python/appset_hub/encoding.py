"""From parameter sets to the JSON bytes that leave, or to an error that names the place.

Pure. Nothing leaves that JSON, or Argo CD, would take for something else: the fast way only has to find out that
something is wrong, the slow way then says what and where.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appset_hub.errors import AnswerTooLarge, BrokenAnswer
from appset_hub.nesting import CONTAINERS, MAX_LEVELS
from appset_hub.question import Answer, Notice, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_DIGEST_BYTES = 128
# A year; well inside what a Duration holds.
_LONGEST_FRESH_S = 365 * 24 * 3600
_LONGEST_PLACE = 200

# The last format of marshal whose bytes follow from the value alone; later ones tell shared objects from equal ones.
_MARSHAL_FORMAT = 2
_DIGEST_CHARS = 32

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(slots=True, kw_only=True)
class Encoded:
    """An answer as it travels. `not_modified`: it is the one that the hub holds, and `parameters_json` is empty."""

    parameters_json: bytes
    digest: str
    not_modified: bool = False
    fresh_for_s: float | None = None
    notices: tuple[Notice, ...] = ()


def encode_answer(returned: object, *, known_digest: str, max_bytes: int) -> Encoded:
    """Return what the function returned, ready to travel.

    Raises:
        BrokenAnswer: it is no answer.
        AnswerTooLarge: it has more than `max_bytes` bytes.
    """
    sets, digest = returned, ""
    fresh_for_s: float | None = None
    notices: tuple[Notice, ...] = ()
    if isinstance(returned, Answer):
        _check_remarks(returned)
        sets, digest = returned.parameters, returned.digest
        fresh_for_s, notices = returned.fresh_for_s, returned.notices
    digest = digest or _fingerprint(sets)
    parameters_json = b""
    if not digest or digest != known_digest:
        parameters_json = _encode_within(sets, max_bytes)
        digest = digest or _hash(parameters_json)
    not_modified = digest == known_digest
    return Encoded(
        parameters_json=b"" if not_modified else parameters_json,
        digest=digest,
        not_modified=not_modified,
        fresh_for_s=fresh_for_s,
        notices=notices,
    )


def check_parameters(sets: object) -> None:
    """Check parameter sets before anybody asks for them, such as those of a file that was just read.

    Raises:
        BrokenAnswer: they could not be answered; the message names the set and the key.
    """
    encode_sets(sets)


def encode_sets(sets: object) -> bytes:
    """Return `sets` as one JSON array of non-empty objects, in UTF-8.

    Raises:
        BrokenAnswer: they are none; the message names the first place that is wrong.
    """
    if not isinstance(sets, list | tuple):
        raise BrokenAnswer(f"the function returned {_kind(sets)}; it must return a list of dicts")
    try:
        encoded = _encode(sets).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokenAnswer(_first_fault(sets) or "the parameter sets are no JSON") from error
    if not all(type(one) is dict and one for one in sets) or not _is_plain(sets):
        fault = _first_fault(sets)
        if fault:
            raise BrokenAnswer(fault)
    return encoded


def _encode_within(sets: object, max_bytes: int) -> bytes:
    encoded = encode_sets(sets)
    if len(encoded) > max_bytes:
        raise AnswerTooLarge(
            f"the answer has {len(encoded)} bytes of JSON, and the hub accepts {max_bytes} (limits.max_answer_bytes): "
            "return fewer or smaller parameter sets, or raise the hub's limit"
        )
    return encoded


def _fingerprint(sets: object) -> str:
    """Return a digest of `sets` that takes a fifth of the time of their JSON; empty where marshal does not know them.

    Equal digests mean equal JSON: marshal's bytes tell apart all that JSON does, and more, such as lists from tuples.
    What is no answer gets one too, which no hub ever holds.
    """
    try:
        return _hash(marshal.dumps(sets, _MARSHAL_FORMAT))  # type: ignore[arg-type]  # anything else is a ValueError.
    except ValueError:
        return ""


def _hash(written: bytes) -> str:
    return hashlib.sha256(written).hexdigest()[:_DIGEST_CHARS]


def _is_plain(sets: list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether JSON would silently turn no key into text, and nothing is nested too deeply.

    Runs on every answer: level by level without recursion, and loops rather than generators.
    """
    level: Any = sets
    for _ in range(MAX_LEVELS):
        below: list[Any] = []
        for value in level:
            inside = value
            if isinstance(value, dict):
                for key in value:
                    if type(key) is not str:
                        return False
                inside = value.values()
            for inner in inside:
                if isinstance(inner, CONTAINERS):
                    below.append(inner)  # noqa: PERF401 - a comprehension makes a frame for each dict and list.
        if not below:
            return True
        level = below
    return False


def _first_fault(sets: list[Any] | tuple[Any, ...]) -> str:
    """Return where `sets` break the contract and how; empty when they do not."""
    for index, one in enumerate(sets):
        place = f"parameters[{index}]"
        if not isinstance(one, dict):
            return f"{place} is {_kind(one)}; a parameter set must be a dict"
        if not one:
            return f"{place} is empty; a parameter set must have a key"
        fault = _fault_below(one, place)
        if fault:
            return fault
    return ""


def _fault_below(one: dict[Any, Any], place: str) -> str:
    """Return the first fault inside a parameter set, in the order in which it is written."""
    path = [_inside(one, place)]
    while path:
        for below, value, fault in path[-1]:
            if fault:
                return fault
            if isinstance(value, CONTAINERS):
                if len(path) == MAX_LEVELS:
                    return f"{below[:_LONGEST_PLACE]} is nested too deeply, or holds itself"
                path.append(_inside(value, below))
                break
        else:
            path.pop()
    return ""


def _inside(value: Any, place: str) -> Iterator[tuple[str, Any, str]]:
    """Give what is directly inside a dict, list or tuple: its place, itself, and what is wrong with it or its key."""
    if not isinstance(value, dict):
        for index, inner in enumerate(value):
            below = f"{place}[{index}]"
            yield below, inner, _fault_of(inner, below)
        return
    for key, inner in value.items():
        if not isinstance(key, str):
            yield place, inner, f"{place} has a key that is {_kind(key)}; keys must be text"
        elif not _is_utf8(key):
            yield place, inner, f"{place} has a key with a lone surrogate, which UTF-8 cannot hold"
        else:
            below = place + (f".{key}" if _PLAIN_KEY.match(key) else f"[{json.dumps(key, ensure_ascii=False)}]")
            yield below, inner, _fault_of(inner, below)


def _fault_of(value: object, place: str) -> str:
    """Return what is wrong with a value in itself, whatever is inside it."""
    if isinstance(value, CONTAINERS):
        return ""
    if isinstance(value, str):
        return "" if _is_utf8(value) else f"{place} has a lone surrogate, which UTF-8 cannot hold"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{place} is {float(value)!r}, which JSON does not have"
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if _is_printable(value) else f"{place} is an integer with more digits than Python writes"
    return f"{place} is {_kind(value)}, which JSON does not have; turn it into text or a number"


def _check_remarks(answer: Answer) -> None:
    """Check what an answer carries beside its parameter sets."""
    digest = answer.digest
    if not isinstance(digest, str) or not _is_utf8(digest) or len(digest.encode()) > _LONGEST_DIGEST_BYTES:
        raise BrokenAnswer(f"the digest must be text of at most {_LONGEST_DIGEST_BYTES} bytes")
    if answer.fresh_for_s is not None and not 0 <= answer.fresh_for_s <= _LONGEST_FRESH_S:
        raise BrokenAnswer(f"fresh_for_s must be a number of seconds between 0 and {_LONGEST_FRESH_S}")
    for notice in answer.notices:
        if not (isinstance(notice, Notice) and isinstance(notice.text, str) and isinstance(notice.severity, Severity)):
            raise BrokenAnswer("notices must be a tuple of Notice, each with text and a Severity")


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_printable(number: int) -> bool:
    try:
        int.__repr__(number)
    except ValueError:
        return False
    return True


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"

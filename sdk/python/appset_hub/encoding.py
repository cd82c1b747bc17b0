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
from typing import Any

from appset_hub.errors import AnswerTooLarge, BrokenAnswer
from appset_hub.question import Answer, Notice, Severity

_LONGEST_DIGEST_BYTES = 128
# A year; well inside what a Duration holds.
_LONGEST_FRESH_S = 365 * 24 * 3600
# Deeper values are refused with a name before Python's own recursion limit ends the search for one.
_DEEPEST = 200

_CONTAINERS = (dict, list, tuple)

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
    if not all(type(one) is dict and one for one in sets) or not _has_only_text_keys(sets):
        fault = _first_fault(sets)
        if fault:
            raise BrokenAnswer(fault)
    return encoded


def _encode_within(sets: object, max_bytes: int) -> bytes:
    encoded = encode_sets(sets)
    if len(encoded) > max_bytes:
        raise AnswerTooLarge(
            f"the answer has {len(encoded)} bytes of JSON; the hub accepts {max_bytes}: return fewer or "
            "smaller parameter sets, or raise the hub's limit"
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


def _has_only_text_keys(value: Any) -> bool:
    """Tell whether no key below `value` is one that JSON would silently turn into text.

    Runs on every answer: loops rather than generators, and no call for a value that holds no others.
    """
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for inner in value:  # noqa: SIM110 - `all` would make a generator for each dict and list.
        if isinstance(inner, _CONTAINERS) and not _has_only_text_keys(inner):
            return False
    return True


def _first_fault(sets: list[Any] | tuple[Any, ...]) -> str:
    """Return where `sets` break the contract and how; empty when they do not."""
    for index, one in enumerate(sets):
        place = f"parameters[{index}]"
        if not isinstance(one, dict):
            return f"{place} is {_kind(one)}; a parameter set must be a dict"
        if not one:
            return f"{place} is empty; a parameter set must have a key"
        fault = _fault_below(one, place, depth=0)
        if fault:
            return fault
    return ""


def _fault_below(value: Any, place: str, depth: int) -> str:
    if depth > _DEEPEST:
        return f"{place[:200]} is nested too deeply, or holds itself"
    if isinstance(value, dict):
        return _fault_in_dict(value, place, depth)
    if isinstance(value, list | tuple):
        faults = (_fault_below(inner, f"{place}[{index}]", depth + 1) for index, inner in enumerate(value))
        return next(filter(None, faults), "")
    return _fault_of(value, place)


def _fault_in_dict(value: dict[Any, Any], place: str, depth: int) -> str:
    for key, inner in value.items():
        if not isinstance(key, str):
            return f"{place} has a key that is {_kind(key)}; keys must be text"
        if not _is_utf8(key):
            return f"{place} has a key with a lone surrogate, which UTF-8 cannot hold"
        step = f".{key}" if _PLAIN_KEY.match(key) else f"[{json.dumps(key, ensure_ascii=False)}]"
        fault = _fault_below(inner, place + step, depth + 1)
        if fault:
            return fault
    return ""


def _fault_of(value: object, place: str) -> str:
    """Return what is wrong with a value that holds no others."""
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

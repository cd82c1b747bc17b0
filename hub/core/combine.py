"""From the checked answers of a route's members to the one answer that leaves.

Nothing partial passes here: a combination takes an answer from every member, or it is not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.answer import CheckedAnswer, Limits, check_sets, place, shown
from hub.core.errors import AnswerRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PREFIX = b'{"output":{"parameters":'
_SUFFIX = b"}}"

_decode_sets = msgspec.json.Decoder(list[dict[str, Any]]).decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Concat(msgspec.Struct, frozen=True, kw_only=True, tag="concat"):
    """All sets of all members, in the members' order."""


class Merge(msgspec.Struct, frozen=True, kw_only=True, tag="merge"):
    """The first member's sets, each enriched by the others' sets with equal values under the keys ``on``."""

    on: tuple[str, ...]


class First(msgspec.Struct, frozen=True, kw_only=True, tag="first"):
    """The first member that does not fail; an empty answer is an answer."""


Combine = Concat | Merge | First


class AnswerRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a route asks of a combined answer, beyond the contract."""

    required_keys: tuple[str, ...] = ()
    unique_by: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A whole answer, ready to leave: ``body`` is the complete document that Argo CD reads."""

    body: bytes
    count: int


def combine(
    members: Sequence[tuple[str, CheckedAnswer]], how: Combine, rules: AnswerRules, *, route: str, limits: Limits
) -> Answer:
    """Combine the answers of ``(backend, answer)`` pairs, in the members' order.

    Raises:
        AnswerRefused: the answers do not fit together, or break the route's rules.
    """
    subject = f'route "{route}"'
    if isinstance(how, Merge) and len(members) > 1:
        sets = _merge([(backend, _decode_sets(answer.sets_json)) for backend, answer in members], how.on)
        check_sets(sets, subject=subject, limits=limits)
        sets_json = _encode(sets)
    else:
        sets_json = _joined([answer.sets_json for _, answer in members])
        sets = None
    count = sum(answer.count for _, answer in members) if sets is None else len(sets)
    _check_size(count, len(sets_json), subject, limits)
    if rules.required_keys or rules.unique_by:
        _check_rules(_decode_sets(sets_json) if sets is None else sets, rules, subject)
    return Answer(body=b"".join((_PREFIX, sets_json, _SUFFIX)), count=count)


def _joined(arrays: list[bytes]) -> bytes:
    if len(arrays) == 1:
        return arrays[0]
    return b"[" + b",".join(array[1:-1] for array in arrays if array != b"[]") + b"]"


def _check_size(count: int, size_bytes: int, subject: str, limits: Limits) -> None:
    if count > limits.max_sets:
        raise AnswerRefused(f"{subject}: the combined answer has more than {limits.max_sets} parameter sets")
    if size_bytes > limits.max_bytes:
        raise AnswerRefused(f"{subject}: the combined answer has more than {limits.max_bytes} bytes")


def _check_rules(sets: list[dict[str, Any]], rules: AnswerRules, subject: str) -> None:
    for index, one in enumerate(sets):
        for key in rules.required_keys:
            if key not in one:
                raise AnswerRefused(f"{subject}: {place(index, len(sets))} lacks the required key {shown(key)}")
    if rules.unique_by:
        _by_key(sets, rules.unique_by, subject)


def _merge(members: list[tuple[str, list[dict[str, Any]]]], on: tuple[str, ...]) -> list[dict[str, Any]]:
    (first, base), *others = members
    merged = {key: dict(one) for key, one in _by_key(base, on, f'backend "{first}"').items()}
    for backend, sets in others:
        for key, addition in _by_key(sets, on, f'backend "{backend}"').items():
            if key in merged:
                _enrich(merged[key], addition, backend)
    return list(merged.values())


def _enrich(base: dict[str, Any], addition: dict[str, Any], backend: str) -> None:
    for key, value in addition.items():
        # Compared as JSON: in Python 1, 1.0 and true are equal.
        if key in base and _encode_sorted(base[key]) != _encode_sorted(value):
            raise AnswerRefused(
                f'backend "{backend}" gives key {shown(key)} a value that differs from another member\'s'
            )
        base[key] = value


def _by_key(sets: list[dict[str, Any]], keys: Iterable[str], subject: str) -> dict[bytes, dict[str, Any]]:
    """The sets under their values of ``keys``, which every set must have, and no two alike."""
    found: dict[bytes, dict[str, Any]] = {}
    first_at: dict[bytes, int] = {}
    for index, one in enumerate(sets):
        try:
            identity = _encode_sorted([one[key] for key in keys])
        except KeyError as error:
            raise AnswerRefused(f"{subject}: {place(index, len(sets))} lacks the key {shown(error.args[0])}") from error
        if identity in found:
            raise AnswerRefused(
                f"{subject}: sets {first_at[identity] + 1} and {index + 1} of {len(sets)} have equal values under "
                + ", ".join(shown(key) for key in keys)
            )
        found[identity] = one
        first_at[identity] = index
    return found

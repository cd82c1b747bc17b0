"""From the checked answers of a route's members to the one answer that leaves.

Nothing partial passes here: a combination takes an answer from every member, or it is not made.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.answer import CheckedAnswer, Limits, beyond_float, check_sets, place, shown
from hub.core.elements import elements_in, list_path, spread
from hub.core.errors import AnswerRefused
from hub.core.identity import WHOLE, Basis, identities, is_missing
from hub.core.keys import Identification, Identified, Keys, by_keys, check_keys, check_strict, identified
from hub.core.values import ValueRules, rewrite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hub.core.elements import ListPath

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
    """A whole answer, ready to leave.

    ``body`` is the complete document that Argo CD reads, ``identities`` what makes each of its sets the one that it
    is, ``basis`` what these are made of, and ``prints`` a fingerprint of each set that has keys. ``members`` says how
    many sets came from whom, and ``unfit`` why taught keys were not used; ``spread``, if elements of a list count, says
    how many of these came from whom. ``lists`` counts the elements of the lists in the sets, by key. ``stale_s`` is its
    age in seconds if it is an old answer that stands in for an error.
    """

    body: bytes
    count: int
    identities: tuple[str, ...] = ()
    basis: Basis = WHOLE
    prints: tuple[bytes, ...] = ()
    unfit: str = ""
    members: dict[str, int] = {}
    spread: dict[str, int] = {}
    lists: dict[str, int] = {}
    stale_s: float | None = None

    @property
    def origins(self) -> dict[str, int]:
        """How many of the sets that the guard sees came from whom."""
        return self.spread or self.members


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a route makes of its members' answers. ``identify`` says that the identities are wanted.

    ``identification`` says what they are made of; without it, the route's own ``unique_by``.
    """

    route: str
    combine: Combine = Concat()
    rules: AnswerRules = AnswerRules()
    values: ValueRules = ValueRules()
    identify: bool = False
    identification: Identification | None = None

    @property
    def found(self) -> Identification:
        """Which keys identify the sets."""
        if self.identification is not None:
            return self.identification
        unique_by = self.rules.unique_by
        return Identification(whole=Keys(keys=unique_by, source="route") if unique_by else None)


def combine(
    members: Sequence[tuple[str, CheckedAnswer]], recipe: Recipe, parameters: Mapping[str, Any], limits: Limits
) -> Answer:
    """Combine the answers of ``(backend, answer)`` pairs, in the members' order.

    Raises:
        AnswerRefused: the answers do not fit together, or break the route's rules.
    """
    subject = f'route "{recipe.route}"'
    if recipe.values.numbers == "exact":
        for backend, answer in members:
            if answer.beyond_float:
                raise beyond_float(f'backend "{backend}"', answer.beyond_float)
    found, origins = recipe.found, _origins(members, recipe.combine)
    sets: list[dict[str, Any]] | None
    if _is_plain(recipe):
        sets_json = _joined([answer.sets_json for _, answer in members])
        count = sum(answer.count for _, answer in members)
        sets = _decode_sets(sets_json) if _needs_sets(recipe) else None
    else:
        sets = _rewritten(members, recipe, parameters, limits)
        sets_json, count = _encode(sets), len(sets)
    _check_size(count, len(sets_json), subject, limits)
    if sets is not None:
        _check_rules(sets, recipe.rules, subject)
        check_strict(sets, origins, found, recipe.route)
    which, counts = Identified(identities=()), dict[str, int]()
    if recipe.identify:
        which, counts = _identified(members, sets, recipe, origins, limits)
    return Answer(
        body=b"".join((_PREFIX, sets_json, _SUFFIX)),
        count=count,
        identities=which.identities,
        basis=which.basis,
        prints=which.prints,
        unfit=which.unfit,
        members=origins,
        spread=counts,
        lists=_lists(members),
    )


_NO_LISTS: dict[str, int] = {}


def _lists(members: Sequence[tuple[str, CheckedAnswer]]) -> dict[str, int]:
    """How many elements the members' lists have together, by the key in a set."""
    found = _NO_LISTS
    for _, answer in members:
        if answer.lists:
            found = {key: found.get(key, 0) + answer.lists.get(key, 0) for key in {**found, **answer.lists}}
    return found


def sets_of(answer: Answer) -> list[dict[str, Any]]:
    """The parameter sets of an answer."""
    return _decode_sets(memoryview(answer.body)[len(_PREFIX) : -len(_SUFFIX)])


def seen_sets(answer: Answer, count: str | None = None) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The sets of an answer as the guard sees them, and how many of them came from whom.

    ``count`` is the path of the list whose elements count; without it, that of the answer itself.
    """
    sets, path = sets_of(answer), answer.basis.count if count is None else count
    return spread(sets, answer.members, list_path(path)) if path else (sets, answer.members)


def _identified(
    members: Sequence[tuple[str, CheckedAnswer]],
    sets: list[dict[str, Any]] | None,
    recipe: Recipe,
    origins: Mapping[str, int],
    limits: Limits,
) -> tuple[Identified, dict[str, int]]:
    """The identities of the combined sets; where these are the members' own, the members' answers have them.

    If elements of a list count, with the number of them that came from each member.
    """
    path = recipe.found.count
    if sets is not None and path is not None:
        _check_elements(sets, path, recipe.route, limits)
        found, counts = spread(sets, origins, path)
        return identified(found, counts, recipe.found), counts
    if sets is not None and (recipe.found.needs_sets or not _is_plain(recipe)):
        return identified(sets, origins, recipe.found), {}
    own = [
        answer.identities if len(answer.identities) == answer.count else identities(_decode_sets(answer.sets_json), ())
        for _, answer in members
    ]
    return Identified(identities=own[0] if len(own) == 1 else tuple(chain.from_iterable(own))), {}


def _check_elements(sets: list[dict[str, Any]], path: ListPath, route: str, limits: Limits) -> None:
    if elements_in(sets, path) > limits.max_sets:
        raise AnswerRefused(
            f'route "{route}": the lists under "{path.text}" have more than {limits.max_sets} elements together '
            "(limits.max_sets); Applications are left unchanged"
        )


def reads_sets(recipe: Recipe) -> bool:
    """Whether every parameter set is read to combine it, rather than the members' texts put together."""
    return not _is_plain(recipe) or _needs_sets(recipe)


def _needs_sets(recipe: Recipe) -> bool:
    return bool(recipe.rules.required_keys or recipe.rules.unique_by or recipe.found.needs_sets)


def _is_plain(recipe: Recipe) -> bool:
    """Whether the checked sets can leave as they are, one after the other."""
    return recipe.values.change_nothing and not isinstance(recipe.combine, Merge)


def _rewritten(
    members: Sequence[tuple[str, CheckedAnswer]], recipe: Recipe, parameters: Mapping[str, Any], limits: Limits
) -> list[dict[str, Any]]:
    subject = f'route "{recipe.route}"'
    decoded = [(backend, _decode_sets(answer.sets_json)) for backend, answer in members]
    if isinstance(recipe.combine, Merge):
        sets = _merge(decoded, recipe.combine.on)
    else:
        sets = [one for _, member_sets in decoded for one in member_sets]
    if not recipe.values.change_nothing:
        sets = rewrite(sets, recipe.values, parameters, subject)
    # What members gave apart may collide once it is together.
    check_sets(sets, subject=subject, limits=limits)
    return sets


def _origins(members: Sequence[tuple[str, CheckedAnswer]], how: Combine) -> dict[str, int]:
    if isinstance(how, Merge):
        backend, answer = members[0]
        return {backend: answer.count}
    return {backend: answer.count for backend, answer in members}


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
            # Null and an empty text lack it too: templates render them alike for all sets that have them, and so name
            # another Application.
            if is_missing(value := one.get(key)):
                lacks = "has an empty string under" if value == "" else "lacks"
                raise AnswerRefused(f"{subject}: {place(index, len(sets))} {lacks} the required key {shown(key)}")
    if rules.unique_by:
        check_keys(sets, rules.unique_by, subject)


def _merge(members: list[tuple[str, list[dict[str, Any]]]], on: tuple[str, ...]) -> list[dict[str, Any]]:
    (first, base), *others = members
    merged = {key: dict(one) for key, one in by_keys(base, on, f'backend "{first}"', empty=True).items()}
    for backend, sets in others:
        for key, addition in by_keys(sets, on, f'backend "{backend}"', empty=True).items():
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

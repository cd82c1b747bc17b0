"""Which keys identify a route's sets, and who said so.

In this order: the route's ``unique_by``, that of a backend in the configuration, what the backend declares, and what an
operator has taught. The hub never guesses: without any of them, whole sets count. All but taught keys are strict: an
answer that does not fit them is refused. An answer that does not fit taught keys is taken by whole sets, because it is
an operator's remark about answers of the past, and not a contract.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hub.core.errors import AnswerRefused
from hub.core.identity import (
    WHOLE,
    Basis,
    as_json,
    by_member,
    identities,
    of_member,
    prints,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hub.core.elements import ListPath

MAX_KEYS = 8
MAX_KEY_CHARS = 253

Source = Literal["route", "merge", "backend", "declared", "taught"]

_MAX_SHOWN_CHARS = 64


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that identify sets, and who said so; ``by`` and ``at_s`` (Unix seconds) only if an operator did."""

    keys: tuple[str, ...]
    source: Source
    by: str = ""
    at_s: float = 0.0

    @property
    def strict(self) -> bool:
        """Whether an answer that does not fit is an error."""
        return self.source != "taught"


class Identification(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies the sets of a route: keys of all of them, or of each member's sets. Sets without are whole.

    ``count`` is the list of which each element counts instead of its set.
    """

    whole: Keys | None = None
    members: dict[str, Keys] = {}
    count: ListPath | None = None

    def of(self, member: str) -> Keys | None:
        """The keys of a member's sets."""
        return self.whole if self.whole is not None else self.members.get(member)

    @property
    def needs_sets(self) -> bool:
        """Whether the sets have to be read for it."""
        return self.whole is not None or bool(self.members) or self.count is not None

    def reads(self, member: str) -> bool:
        """Whether identities are made when the answers are combined, and not when a member's is checked."""
        return self.of(member) is not None or self.count is not None

    def keyless(self, members: Sequence[str]) -> tuple[str, ...]:
        """The members whose sets no keys identify."""
        return tuple(member for member in members if self.of(member) is None)


NO_KEYS = Identification()


class Identified(msgspec.Struct, frozen=True, kw_only=True):
    """The identities of an answer's sets, what they are made of, and a fingerprint of each set that has keys.

    ``prints`` is empty where whole sets count. ``unfit`` says why taught keys were not used, or is empty.
    """

    identities: tuple[str, ...]
    basis: Basis = WHOLE
    prints: tuple[bytes, ...] = ()
    unfit: str = ""


def identified(sets: Sequence[dict[str, Any]], origins: Mapping[str, int], found: Identification) -> Identified:
    """Say what makes each set of an answer the one that it is; the sets are ``spread`` already if elements count.

    ``origins`` says how many sets came from which member. Strict keys were checked before.
    """
    count = found.count.text if found.count is not None else ""
    if len(origins) <= 1 or not found.members:
        member = next(iter(origins), "")
        keys, unfit = _usable(sets, found.of(member), count)
        return Identified(
            identities=identities(sets, keys),
            basis=Basis(keys=keys, count=count),
            prints=prints(sets) if keys else (),
            unfit=unfit,
        )
    parts = [(member, part, *_usable(part, found.of(member), count)) for member, part in by_member(sets, origins)]
    basis = Basis(members={member: keys for member, _, keys, _ in parts if keys}, count=count)
    return Identified(
        identities=tuple(chain.from_iterable(of_member(member, part, keys) for member, part, keys, _ in parts)),
        basis=basis,
        prints=tuple(chain.from_iterable(prints(part) if keys else [b""] * len(part) for _, part, keys, _ in parts))
        if basis.members
        else (),
        unfit=next((unfit for *_, unfit in parts if unfit), ""),
    )


def _usable(sets: Sequence[dict[str, Any]], found: Keys | None, count: str) -> tuple[tuple[str, ...], str]:
    """The keys, if they tell these sets apart, or why not."""
    if found is None:
        return (), ""
    keys = (*found.keys, count) if count else found.keys
    if found.strict:
        return keys, ""
    unfit = misfit(sets, keys)
    return ((), unfit) if unfit else (keys, "")


def misfit(sets: Sequence[dict[str, Any]], keys: Sequence[str]) -> str:
    """Why keys do not tell these sets apart; empty if they do."""
    try:
        check_keys(sets, keys, "")
    except AnswerRefused as error:
        return str(error).removeprefix(": ")
    return ""


def check_strict(sets: Sequence[dict[str, Any]], origins: Mapping[str, int], found: Identification, route: str) -> None:
    """Check the sets of members that have strict keys of their own; those of the route are one of its rules.

    Raises:
        AnswerRefused: a set has no value under a key, or two have the same.
    """
    if found.whole is not None and found.whole.source in ("route", "merge"):
        return
    for member, part in by_member(sets, origins):
        keys = found.of(member)
        if keys is not None and keys.strict:
            check_keys(part, keys.keys, f'route "{route}", backend "{member}"')


def check_keys(sets: Sequence[dict[str, Any]], keys: Sequence[str], subject: str) -> None:
    """Check that keys tell all sets apart.

    Raises:
        AnswerRefused: as for ``by_keys``.
    """
    if len(keys) == 1:
        # Most often it is one key, and its values are different texts.
        values = [one.get(keys[0]) for one in sets]
        if set(map(type, values)) == {str} and len(names := set(values)) == len(values) and "" not in names:
            return
    by_keys(sets, keys, subject)


def by_keys(
    sets: Sequence[dict[str, Any]], keys: Sequence[str], subject: str, *, empty: bool = False
) -> dict[bytes, dict[str, Any]]:
    """The sets under their values of ``keys``, which every set must have, and no two alike.

    An empty text is no value, unless ``empty`` allows it.

    Raises:
        AnswerRefused: the text names the set and the key.
    """
    found: dict[bytes, dict[str, Any]] = {}
    first_at: dict[bytes, int] = {}
    for index, one in enumerate(sets):
        values = [one.get(key) for key in keys]
        if None in values or ("" in values and not empty):
            at = values.index(None) if None in values else values.index("")
            lacks = "has an empty string under" if values[at] == "" else "lacks"
            raise AnswerRefused(f"{subject}: set {index + 1} of {len(sets)} {lacks} the key {_shown(keys[at])}")
        identity = as_json(values)
        if identity in found:
            raise AnswerRefused(
                f"{subject}: sets {first_at[identity] + 1} and {index + 1} of {len(sets)} have equal values under "
                + ", ".join(_shown(key) for key in keys)
            )
        found[identity] = one
        first_at[identity] = index
    return found


def _shown(key: str) -> str:
    return f'"{key[:_MAX_SHOWN_CHARS]}…"' if len(key) > _MAX_SHOWN_CHARS else f'"{key}"'

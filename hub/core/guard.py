"""Whether an answer may be taken for the truth: one that loses much of what was there before is held.

Argo CD deletes the Applications of sets that are gone. A backend that is wrong without failing shows in nothing else
than what it no longer says.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hub.core.identity import MAX_IDENTITY_CHARS, Basis, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hub.core.elements import ListPath

Mode = Literal["enforce", "observe", "off"]

MAX_SHOWN_IDENTITIES = 20  # In one entry of the history; the counts are always whole.
MAX_WHO_CHARS = 128  # The name of the person who decides.
MAX_SHOWN_INPUTS = 20  # Of one question; a shown key or value has at most MAX_IDENTITY_CHARS.


class TotalPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When an answer is held because of what all ApplicationSets have lost in ``window_s``.

    Held is what makes them lose more than ``max_drop`` (a fraction) and at least ``min_sets`` of all their sets.
    """

    max_drop: float = 0.2
    min_sets: int = 50
    window_s: float = 3600.0


class GuardPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When an answer is held, and how it gets free.

    Held is what loses more than ``max_drop`` (a fraction; ``None``: less the more sets there are) and at least
    ``min_sets`` of the sets of the last accepted answer, or of those that its ApplicationSet had in the last
    ``window_s``; or what changes more than ``max_change`` of them, if that is set. ``release_after_s``: equal answers
    for so many seconds are accepted; ``None``: only an operator accepts. ``total`` limits all ApplicationSets together.
    ``count`` is the list in each set whose elements are counted instead of the set.
    ``ignore_inputs`` do not make a question another one, and a baseline is kept for ``keep_s`` after its last use.
    """

    mode: Mode = "enforce"
    max_drop: float | None = None
    min_sets: int = 5
    release_after_s: float | None = None
    window_s: float = 3600.0
    max_change: float | None = None
    total: TotalPolicy = TotalPolicy()
    count: ListPath | None = None
    ignore_inputs: tuple[str, ...] = ()
    keep_s: float = 30 * 86400.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer compares to the one before: sets that came and went, sorted, and whether that is too much.

    ``changed`` are those that are the same sets with other values. Where whole sets count, a set that changed is one
    that went and one that came.
    """

    came: tuple[str, ...]
    went: tuple[str, ...]
    before: int
    too_much: bool
    changed: tuple[str, ...] = ()


def shown_input(parameters: Mapping[str, Any]) -> dict[str, str]:
    """An input for people: a text as it is, any other value as JSON, and all of it shortened."""
    shown = islice(parameters.items(), MAX_SHOWN_INPUTS)
    return {_cut(key): _cut(value if type(value) is str else as_text(value)) for key, value in shown}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_IDENTITY_CHARS else f"{text[: MAX_IDENTITY_CHARS - 1]}…"


_SHARES = ((20, 0.5), (200, 0.25))  # Below so many sets, this share may go at once …
_SHARE_OF_MANY = 0.1  # … and this one from there on.


def allowed(policy: GuardPolicy, before: int) -> float:
    """The share of ``before`` sets that may go."""
    if policy.max_drop is not None:
        return policy.max_drop
    return next((share for below, share in _SHARES if before < below), _SHARE_OF_MANY)


def is_over(gone: int, before: int, share: float, least: int) -> bool:
    """Whether that many of ``before`` are more than the share, and at least ``least``."""
    # Rounded: a share in binary is not quite the one in the configuration.
    return gone >= least and gone > round(share * before, 6)


def judge(before: Iterable[str], after: Iterable[str], policy: GuardPolicy) -> Verdict:
    """Compare an answer's identities with those of the last accepted one."""
    old, new = frozenset(before), frozenset(after)
    went = tuple(sorted(old - new))
    return Verdict(
        came=tuple(sorted(new - old)),
        went=went,
        before=len(old),
        too_much=is_over(len(went), len(old), allowed(policy, len(old)), policy.min_sets),
    )


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Which question a record is about, for people: what the store's key says, in words."""

    client: str
    route: str
    application_set_name: str
    application_set_namespace: str
    input_digest: str


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The identities of an accepted answer to a question, and when it was first given (Unix seconds).

    They are those of the last accepted answer, but for what a ``BaselineChange`` says. ``basis`` is what they are made
    of; older hubs did not say. ``rows`` are fingerprints, all in one: of each set that has keys, a fingerprint of the
    whole; of each whole set whose identity is cut, one of its value under each of ``columns``.
    """

    subject: Subject
    identities: tuple[str, ...]
    accepted_at_s: float
    basis: Basis | None = None
    columns: tuple[str, ...] = ()
    rows: bytes = b""


class BaselineChange(msgspec.Struct, frozen=True, kw_only=True):
    """What has come and gone since a baseline was written; a large one is not written anew for each set.

    ``came`` has the sets that changed too, and ``rows`` are its fingerprints, as in the baseline.
    """

    came: tuple[str, ...]
    went: tuple[str, ...]
    accepted_at_s: float
    rows: bytes = b""


class HeldAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is held. ``since_s``: answers that lose the same have been given since then (Unix seconds).

    ``decision`` is an operator's: ``accepted`` lets an answer through once that loses no more than this one,
    ``rejected`` keeps it held even where the route would release it in time. ``came`` counts the sets that the previous
    answer did not have, ``input`` is for people and shortened, ``members`` goes from a backend to its number of sets.

    ``changed`` counts the sets that are the same with other values. ``lost`` are fingerprints of all sets that are
    missing, not only of those shown. ``keyless``: no keys identify these sets; ``suggested`` are keys that would, and
    by which they were counted; ``blind``: there are none either. Records of older hubs lack all of these, or all after
    ``members``.

    ``limit`` is what the answer exceeds, and ``why`` says so; ``losing`` counts the sets that add up with those of
    other answers. ``observed_s`` is when it was first held, in seconds that hubs have run. Records of older hubs lack
    these.
    """

    id: str
    subject: Subject
    answer_digest: str
    went: int
    before: int
    sets: int
    missing: tuple[str, ...]
    since_s: float
    came: int | None = None
    input: dict[str, str] | None = None
    members: dict[str, int] = {}
    limit: Literal["max_drop", "max_change", "window", "total"] = "max_drop"
    why: str = ""
    losing: int = 0
    observed_s: float | None = None
    decision: Literal["", "accepted", "rejected"] = ""
    decided_by: str = ""
    changed: int | None = None
    lost: bytes | None = None
    keyless: bool = False
    blind: bool = False
    suggested: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a question's history: what came, went and changed, by identity, and from which members.

    ``changed`` is ``None`` in entries of older hubs, and where no keys identify the sets: a set that changed is then
    one that went and one that came. ``lists`` says how many elements the largest lists in the sets have, by key.
    """

    at_s: float
    sets: int
    came: int
    went: int
    came_shown: tuple[str, ...]
    went_shown: tuple[str, ...]
    members: dict[str, int]
    how: str
    changed: int | None = None
    changed_shown: tuple[str, ...] = ()
    lists: dict[str, int] = {}


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The last changes of one question, oldest first."""

    subject: Subject
    changes: tuple[Change, ...]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who decided what, and when (Unix seconds).

    For a held answer, ``held_id``, ``subject``, ``went`` and ``before`` say which one. ``forget`` removed ``patterns``
    from the claim of ``backend``. ``init`` started with the empty store ``store_id``. ``teach`` says that ``keys``
    identify the sets of ``route``, or of ``backend``; ``unteach`` took that back. ``freeze`` and ``unfreeze`` are about
    ``route`` (empty: all of them), the first with a ``reason``.
    """

    at_s: float
    who: str
    action: Literal["accept", "reject", "release", "passed", "forget", "init", "teach", "unteach", "freeze", "unfreeze"]
    held_id: str = ""
    subject: Subject | None = None
    went: int = 0
    before: int = 0
    backend: str = ""
    patterns: tuple[str, ...] = ()
    store_id: str = ""
    route: str = ""
    keys: tuple[str, ...] = ()
    reason: str = ""

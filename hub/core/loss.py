"""What an answer loses: as it is shown, recorded, and covered by an operator's acceptance.

Where no keys identify the sets, a set that changed cannot be told from one that is missing. The guard then judges as if
both were gone. What is said and accepted follows the keys that it suggests, if there are any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.comparison import by_values, suggest
from hub.core.identity import Basis, contains, identities, packed
from hub.core.keys import misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hub.core.comparison import Past
    from hub.core.guard import HeldAnswer, Verdict


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Which sets are missing, and how many were added and changed; ``lost`` are the fingerprints of the missing ones.

    ``keyless``: no keys identify the sets; ``suggested`` are keys that would, by which they were counted. ``blind``:
    there are none either, so sets that changed are among the missing.
    """

    went: tuple[str, ...]
    came: int
    changed: tuple[str, ...]
    before: int
    lost: bytes
    keyless: bool = False
    suggested: tuple[str, ...] = ()
    blind: bool = False


def of_verdict(verdict: Verdict, *, keyless: bool) -> Loss:
    """What a verdict says. Without keys, sets that changed are among those that went and those that came."""
    return Loss(
        went=verdict.went,
        came=len(verdict.came),
        changed=verdict.changed,
        before=verdict.before,
        lost=packed(verdict.went),
        keyless=keyless,
        blind=keyless and bool(verdict.went) and bool(verdict.came),
    )


def of_held(  # noqa: PLR0913 - each is named at the call
    past: Past,
    verdict: Verdict,
    sets: Callable[[], Sequence[dict[str, Any]]],
    origins: Mapping[str, int],
    *,
    keyless: bool,
    held: HeldAnswer | None,
) -> Loss:
    """What an answer loses that is about to be held; the keys of the one that is held already are suggested again."""
    plain = of_verdict(verdict, keyless=keyless)
    if not plain.blind:
        return plain
    read = sets()
    keys = held.suggested if held is not None else ()
    if not keys or misfit(read, keys):
        keys = suggest(past, read)
    if not keys:
        return plain
    aligned = by_values(past, read, origins, Basis(keys=keys), identities(read, ()))
    after = frozenset(aligned.after)
    went = tuple(sorted(past.rows.keys() - after))
    return Loss(
        went=went,
        came=len(after - past.rows.keys()),
        changed=aligned.changed,
        before=verdict.before,
        lost=packed(went),
        keyless=True,
        suggested=keys,
    )


def is_same(held: HeldAnswer, loss: Loss, answer_digest: str, sets: int) -> bool:
    """Whether an answer loses just what the held one does, so that it is the same fault."""
    if held.lost is None:
        # An older hub held it, and knew the whole answer only.
        return held.answer_digest == answer_digest
    return held.lost == loss.lost and held.blind == loss.blind and (not loss.blind or held.sets == sets)


def is_covered(held: HeldAnswer, loss: Loss, answer_digest: str, sets: int) -> bool:
    """Whether an answer loses nothing beyond what the held one does, so that an acceptance of that one covers it."""
    if held.lost is None:
        return held.answer_digest == answer_digest
    # Without keys, only the number of sets tells sets that changed from sets that are missing.
    return contains(held.lost, loss.lost) and (not held.blind or sets >= held.sets)

"""How much of what was there some time ago is gone by now: arithmetic over several answers.

It knows no clock: times are stamps, seconds that only grow. A set counts as missing since a moment if it was there at
that moment and is not now; one that was added later, or that came back, does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.guard import Subject, allowed, is_over
from hub.core.identity import packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hub.core.guard import GuardPolicy, TotalPolicy, Verdict
    from hub.core.loss import Loss

Limit = Literal["max_drop", "max_change", "window", "total"]
"""The limit that an answer exceeds: its own loss, its own changes, its ApplicationSet's losses, or all losses."""

OLD_S = 0.0
"""The stamp of a set that was there before anybody looked: in the first accepted answer to its question."""

EARLIEST_S = 1.0
"""No other stamp is earlier."""

MIN_LOSERS = 2  # ApplicationSets that must have lost something before their sum is limited.

MAX_NAMED = 10_000  # Of the missing sets of one question; the oldest beyond that are only counted.

_FINGERPRINT_BYTES = 8
_CHANGED = "\x00"  # Before the identity of a set that is there; no identity of one that is missing begins with it.


class PastLoss(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted answer no longer had: a fingerprint of each set, with the stamp of when it was added.

    ``before`` and ``before_all`` are how many sets its ApplicationSet, and all of them, had until then. ``unnamed``
    counts missing sets without a fingerprint; they cannot come back. ``keep_s`` is how long it counts. ``in_total`` is
    false once an operator has accepted what all ApplicationSets lost until then.
    """

    at_s: float
    before: int
    before_all: int
    lost: dict[str, float]
    keep_s: float
    unnamed: int = 0
    in_total: bool = True

    @property
    def count(self) -> int:
        """How many sets."""
        return len(self.lost) + self.unnamed

    def counted(self, start_s: float) -> int:
        """How many sets that were there at ``start_s``, or in the first answer."""
        return self.unnamed + sum(is_older(added_s, start_s) for added_s in self.lost.values())


class QuestionLosses(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers to one question have lost lately, oldest first."""

    subject: Subject
    losses: tuple[PastLoss, ...]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` sets that were added at one stamp and lost at another; those that are there now are lost never."""

    added_s: float
    count: int
    lost_s: float = float("inf")


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """Which limit an answer exceeds: ``gone`` of ``before`` sets are missing or changed, and ``share`` of them may be.

    ``window_s`` is the time in which they were lost, if it is more than one answer. ``text``, if any, has been said of
    it before. ``losing`` is how many of those that are gone this answer loses.
    """

    limit: Limit
    gone: int
    before: int
    share: float
    window_s: float = 0.0
    text: str = ""
    losing: int = 0

    def __str__(self) -> str:
        """What a caller reads; the same for the same excess."""
        if self.text:
            return self.text
        count, share = f"{self.gone} of {self.before} parameter sets", f"{100 * self.share:.6g}%"
        lost = f"lost within guard.window ({duration_text(self.window_s)})"
        match self.limit:
            case "max_drop":
                return f"{count} are missing from the answer, more than guard.max_drop ({share})"
            case "max_change":
                return f"{count} have changed, more than guard.max_change ({share})"
            case "window":
                return f"with this answer, {count} of the ApplicationSet are {lost}, more than guard.max_drop ({share})"
            case "total":
                return f"with this answer, {count} of all ApplicationSets are {lost}, more than guard.total ({share})"


_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """A duration as the configuration writes it, in its largest whole unit: ``1h``, ``90m``."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds * 1000:g}ms"


def own_excess(verdict: Verdict, policy: GuardPolicy) -> Excess | None:
    """The limit that an answer exceeds by what it alone has lost or changed, if it does."""
    before, gone = verdict.before, len(verdict.went)
    if verdict.too_much:
        return Excess(limit="max_drop", gone=gone, before=before, share=allowed(policy, before), losing=gone)
    return change_excess(verdict, policy)


def change_excess(verdict: Verdict, policy: GuardPolicy) -> Excess | None:
    """``max_change``, if an answer exceeds it by what it alone has changed."""
    before, gone = verdict.before, len(verdict.went)
    share, changed = policy.max_change, len(verdict.changed)
    if share is None or not is_over(changed, before, share, policy.min_sets):
        return None
    return Excess(limit="max_change", gone=changed, before=before, share=share, losing=gone)


def with_changes(loss: Loss) -> Loss:
    """What an answer loses that is held for what it changes: an acceptance covers these changed sets, and no others."""
    return msgspec.structs.replace(loss, lost=packed((*loss.went, *(f"{_CHANGED}{one}" for one in loss.changed))))


def by_count(verdict: Verdict) -> Verdict:
    """A verdict that only knows the numbers of sets: the last ones went, or some came behind them."""
    before, after = verdict.before, verdict.before + len(verdict.came) - len(verdict.went)
    went, came = range(after, before), range(before, after)
    return msgspec.structs.replace(verdict, went=tuple(map("#{}".format, went)), came=tuple(map("#{}".format, came)))


def fingerprint(identity: str) -> str:
    """A short stand-in for an identity, the same after a restart."""
    return blake2b(identity.encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()


def is_older(added_s: float, start_s: float) -> bool:
    """Whether a set was there at ``start_s``, or in the first answer to its question."""
    return added_s == OLD_S or added_s < start_s


def lost_spans(losses: Iterable[PastLoss]) -> list[Span]:
    """The missing sets, grouped by when they were added and lost."""
    found = []
    for loss in losses:
        found += spans(loss.lost.values(), lost_s=loss.at_s)
        if loss.unnamed:
            found.append(Span(added_s=OLD_S, count=loss.unnamed, lost_s=loss.at_s))
    return found


def spans(added: Iterable[float], *, lost_s: float = float("inf")) -> list[Span]:
    """Sets with these stamps, grouped."""
    return [Span(added_s=added_s, count=count, lost_s=lost_s) for added_s, count in Counter(added).items()]


def there_at(spans: Iterable[Span], moments: Sequence[float]) -> list[int]:
    """How many of the sets were there just before each of the ascending ``moments``."""
    steps = [0] * (len(moments) + 1)
    for span in spans:
        first, end = bisect_right(moments, span.added_s), bisect_right(moments, span.lost_s)
        if first < end:
            steps[first] += span.count
            steps[end] -= span.count
    return list(accumulate(steps[:-1]))


def window_excess(  # noqa: PLR0913 - what is there, what is gone, and what is left of the past
    there: Sequence[Span],
    gone: Sequence[Span],
    losses: Sequence[PastLoss],
    *,
    now_s: float,
    policy: GuardPolicy,
    started_s: float,
    losing: int,
) -> Excess | None:
    """Whether too much is missing of what an ApplicationSet had at any moment of its window.

    The moments are the window's start, each loss since, and now: between two losses sets are only added. The first
    moment that is over the limit is reported. Not all questions may have been asked since the hub started, at
    ``started_s``, so that the counts at losses before that may be the better ones.
    """
    start_s = max(now_s - policy.window_s, EARLIEST_S)
    ordered = sorted((loss for loss in losses if loss.at_s >= start_s), key=lambda loss: loss.at_s)
    moments = [start_s, *(loss.at_s for loss in ordered), now_s]
    least = [0, *(loss.before for loss in ordered), 0]
    earlier = [loss for loss in ordered if loss.at_s < started_s]
    if earlier:
        least[0], least[-1] = earlier[0].before, earlier[-1].before - earlier[-1].count
    missing = there_at(gone, moments)
    remaining = there_at(there, moments)
    for lost, left, known in zip(missing, remaining, least, strict=True):
        before = max(lost + left, known)
        share = allowed(policy, before)
        if is_over(lost, before, share, policy.min_sets):
            return Excess(
                limit="window", gone=lost, before=before, share=share, window_s=policy.window_s, losing=losing
            )
    return None


def total_excess(gone: int, before: int, *, losers: int, losing: int, policy: TotalPolicy) -> Excess | None:
    """Whether all ApplicationSets together lose too much. One alone never does: it has a limit of its own."""
    if losers < MIN_LOSERS or not is_over(gone, before, policy.max_drop, policy.min_sets):
        return None
    return Excess(
        limit="total", gone=gone, before=before, share=policy.max_drop, window_s=policy.window_s, losing=losing
    )


def returned(losses: Sequence[PastLoss], fingerprints: Iterable[str]) -> tuple[PastLoss, ...]:
    """The losses without the sets that are there again."""
    back = frozenset(fingerprints)
    left = []
    for loss in losses:
        if back.isdisjoint(loss.lost):
            left.append(loss)
            continue
        lost = {one: added_s for one, added_s in loss.lost.items() if one not in back}
        if lost or loss.unnamed:
            left.append(msgspec.structs.replace(loss, lost=lost))
    return tuple(left)


def bounded(losses: Sequence[PastLoss], max_named: int = MAX_NAMED) -> tuple[PastLoss, ...]:
    """The losses with at most ``max_named`` fingerprints, the latest; the others are only counted."""
    kept: list[PastLoss] = []
    for loss in reversed(losses):
        if len(loss.lost) > max_named:
            loss = msgspec.structs.replace(loss, lost={}, unnamed=loss.count)  # noqa: PLW2901 - the same, shorter.
        max_named -= len(loss.lost)
        kept.append(loss)
    return tuple(reversed(kept))

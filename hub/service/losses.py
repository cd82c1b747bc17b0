"""What ApplicationSets have lost lately, over all of their questions, and whether one more loss is too much.

It judges and remembers, and holds nothing. What an accepted answer lost counts at once, before the store has it, so
that two questions of one ApplicationSet cannot both use what is left of a limit. A caller that cannot write it calls
``undo``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.events import StoreTrouble
from hub.core.losses import (
    MIN_LOSERS,
    OLD_S,
    Excess,
    PastLoss,
    QuestionLosses,
    Span,
    bounded,
    fingerprint,
    is_older,
    lost_spans,
    returned,
    spans,
    total_excess,
    window_excess,
)
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.core.guard import GuardPolicy, Subject, TotalPolicy, Verdict
    from hub.core.question import Question
    from hub.service.elapsed import ObservedTime
    from hub.service.ports import Clock, Events, Store

_MAX_ROWS = 50_000
_MAX_NAMED = 200_000  # Fingerprints of all questions; beyond that, losses are only counted.
_MAX_ADDED = 10_000  # Stamps of one question; beyond that, its sets count as old.
_SUMMED_FOR_S = 10.0  # How old the sum over all questions may be.
_STEP_S = 1e-6  # Between two stamps: they order what happened.

_Scope = tuple[str, str, str]
"""An ApplicationSet of a client: the client's name, its namespace and its name."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(QuestionLosses).decode


class Row(msgspec.Struct, kw_only=True):
    """One question of an ApplicationSet: how many sets its accepted answer has, and what it has lost.

    ``asked_s`` is when it was last asked, on the loop's clock. ``added`` has the stamps of the sets that were added
    after the first answer and within the window. ``answered``: this process has accepted an answer to it.
    """

    key: str
    scope: _Scope
    size: int
    asked_s: float
    added: dict[str, float] = {}
    losses: tuple[PastLoss, ...] = ()
    subject: Subject | None = None  # Of a row with losses.
    answered: bool = False


class Step:
    """What accepting an answer changes here: ``changes`` for the store, and how to take it back."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._before: list[tuple[Row, int, dict[str, float], tuple[PastLoss, ...], tuple[PastLoss, ...]]] = []

    def put(self, row: Row, *, size: int, added: dict[str, float], losses: tuple[PastLoss, ...]) -> None:
        """Change a row, and write its losses if they are others now."""
        self._before.append((row, row.size, row.added, row.losses, losses))
        if losses != row.losses:
            value = _encode(QuestionLosses(subject=row.subject, losses=losses)) if losses and row.subject else None
            self.changes.append(Change(kind=records.LOSSES, key=row.key, value=value))
        row.size, row.added, row.losses = size, added, losses

    def undo(self) -> list[Row]:
        """Take it back. What a row has lost since then stays; returns the rows."""
        for row, size, added, losses, now in reversed(self._before):
            row.size, row.added = size, added
            row.losses = (*losses, *(one for one in row.losses if one not in now))
        return [row for row, *_ in self._before]


_NOTHING = Step()
"""For an answer that changes nothing here."""


class Losses:
    """Judges answers by what their ApplicationSets have lost."""

    def __init__(self, store: Store, events: Events, *, clock: Clock, observed: ObservedTime) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._observed = observed
        self._rows: dict[str, Row] = {}
        self._scopes: dict[_Scope, dict[str, Row]] = {}
        self._losing: dict[str, Row] = {}  # Those with losses.
        self._damaged: dict[str, str] = {}
        self._stamped_s = 0.0
        self._started_s = 0.0
        self._summed_until_s = float("-inf")
        self._sum = 0  # Of the sizes of all rows that were asked lately.

    async def open(self) -> None:
        """Read what was lost before this process started.

        Raises:
            StoreFailed: it cannot be read.
        """
        for key, value in (await self._store.load(records.LOSSES)).items():
            try:
                found = records.read(_decode, records.LOSSES, key, value)
            except StoreDamaged as error:
                self._damaged[key] = str(error)
                self._events.emit(StoreTrouble(detail=str(error)))
                continue
            # Not asked yet, and so without a size: only what it has lost counts.
            row = Row(key=key, scope=_scope(found.subject), size=0, asked_s=float("-inf"))
            row.losses, row.subject = found.losses, found.subject
            self._add(row)
            self._losing[key] = row
            for loss in found.losses:
                self._observed.reached(loss.at_s)
        self._started_s = self._stamp()

    def check(self, key: str) -> None:
        """Let a question pass whose losses can be read.

        Raises:
            StoreDamaged: they cannot.
        """
        if key in self._damaged:
            raise StoreDamaged(self._damaged[key])

    def row(self, key: str, question: Question, size: int) -> Row:
        """The row of a question that is asked now; ``size`` is that of its baseline."""
        row = self._rows.get(key)
        if row is None:
            scope = (question.client, question.application_set_namespace, question.application_set_name)
            row = Row(key=key, scope=scope, size=size, asked_s=self._clock())
            self._add(row)
            self._sum += size
            if len(self._rows) > _MAX_ROWS:
                self._drop_idle()
        else:
            self._sum += size - row.size
            row.size, row.asked_s = size, self._clock()
        return row

    def _add(self, row: Row) -> None:
        self._rows[row.key] = row
        self._scopes.setdefault(row.scope, {})[row.key] = row

    def _drop_idle(self) -> None:
        """Forget a tenth of the rows, those that were not asked for the longest time. Limits then count less there."""
        idle = sorted((row for row in self._rows.values() if not row.losses), key=lambda row: row.asked_s)
        for row in idle[: _MAX_ROWS // 10]:
            self._remove(row)

    def _remove(self, row: Row) -> None:
        del self._rows[row.key]
        rows = self._scopes[row.scope]
        del rows[row.key]
        if not rows:
            del self._scopes[row.scope]

    def inherit(self, key: str, question: Question, heir_of: str, *, moved: bool) -> None:
        """Let a question take over what another one has lost, together with its baseline; the store has it already."""
        other = self._rows.get(heir_of)
        if other is None:
            return
        row = self.row(key, question, other.size)
        # In the sum over all ApplicationSets they count once.
        losses = other.losses if moved else tuple(msgspec.structs.replace(one, in_total=False) for one in other.losses)
        row.added, row.losses, row.subject = other.added, losses, records.subject(question)
        self._note(row)
        if moved:
            self._losing.pop(other.key, None)
            self._remove(other)
            self._summed_until_s = float("-inf")

    def excess(self, row: Row, verdict: Verdict, policy: GuardPolicy) -> Excess | None:
        """The limit that an answer's losses exceed together with those before it, if they do."""
        if not verdict.went:
            return None
        now_s = self._stamp()
        going = [row.added.get(identity, OLD_S) for identity in verdict.went]
        found = self._window_excess(row, verdict, policy, going, now_s) if policy.window_s else None
        return found or self._total_excess(row, policy.total, going, now_s)

    def _window_excess(
        self, row: Row, verdict: Verdict, policy: GuardPolicy, going: list[float], now_s: float
    ) -> Excess | None:
        """By what its ApplicationSet had. Questions that are no longer asked have nothing that could be lost."""
        rows = self._scopes[row.scope].values()
        losses = [loss for one in rows if one is not row for loss in one.losses]
        old, there = -len(going), list[Span]()
        if row.losses:
            came = [fingerprint(identity) for identity in verdict.came]
            losses += returned(row.losses, came)
            had = _stamps(row, now_s - policy.window_s)
            there += spans(had[one] for one in came if one in had)
        for one in self._asked(rows, policy.window_s, row):
            old += one.size - len(one.added)
            there += spans(one.added.values()) if one.added else ()
        there += [Span(added_s=at_s, count=-count) for at_s, count in Counter(going).items() if at_s != OLD_S]
        there.append(Span(added_s=OLD_S, count=old + sum(at_s != OLD_S for at_s in going)))
        return window_excess(
            there,
            [*lost_spans(losses), *spans(going, lost_s=now_s)],
            losses,
            now_s=now_s,
            policy=policy,
            started_s=self._started_s,
            losing=len(going),
        )

    def _sets_of(self, scope: _Scope, row: Row, window_s: float) -> int:
        """How many sets an ApplicationSet has whose question ``row`` is asked."""
        rows = self._scopes[scope].values()
        found = sum(one.size for one in self._asked(rows, window_s, row))
        if self._observed.uptime_s < window_s:
            # Not every question has been asked since the start; the last loss knew how many there were.
            last = max((loss for one in rows for loss in one.losses), key=lambda loss: loss.at_s, default=None)
            found = max(found, 0 if last is None else last.before - last.count)
        return found

    def _total_excess(self, row: Row, policy: TotalPolicy, going: list[float], now_s: float) -> Excess | None:
        """By what all ApplicationSets had. A set that was added in the window and is gone again counts for nothing."""
        start_s = now_s - policy.window_s
        losers, past = {row.scope}, 0
        for one in self._losing.values():
            for loss in one.losses:
                if loss.in_total and loss.at_s > start_s and (count := loss.counted(start_s)):
                    losers.add(one.scope)
                    past += count
        if len(losers) < MIN_LOSERS:
            return None
        before = max(self._all_sets(policy.window_s) + past, self._all_sets_before(policy.window_s, now_s))
        gone = past + sum(is_older(added_s, start_s) for added_s in going)
        return total_excess(gone, before, losers=len(losers), losing=len(going), policy=policy)

    def _asked(self, rows: Iterable[Row], window_s: float, row: Row | None = None) -> list[Row]:
        """Those that were asked lately, and ``row``, which is being asked."""
        since_s = self._clock() - window_s
        return [one for one in rows if one.asked_s >= since_s or one is row]

    def _all_sets(self, window_s: float) -> int:
        """How many sets all questions have that were asked lately."""
        if self._summed_until_s <= self._clock():
            self._sum = sum(row.size for row in self._asked(self._rows.values(), window_s))
            self._summed_until_s = self._clock() + _SUMMED_FOR_S
        return self._sum

    def _all_sets_before(self, window_s: float, now_s: float) -> int:
        """How many there are or, until each question has been asked since the start, how many there were."""
        known = 0
        if self._observed.uptime_s < window_s:
            losses = (loss for one in self._losing.values() for loss in one.losses)
            known = max((loss.before_all for loss in losses if loss.at_s > now_s - window_s), default=0)
        return max(known, self._all_sets(window_s))

    def _stamp(self) -> float:
        self._stamped_s = max(self._observed(), self._stamped_s + _STEP_S)
        return self._stamped_s

    def accept(  # noqa: PLR0913 - all that is known of one review
        self, row: Row, question: Question, verdict: Verdict, policy: GuardPolicy, *, how: str, excess: Excess | None
    ) -> Step:
        """Take an accepted answer; ``how`` is empty if it passed by itself.

        What an operator or time lets pass counts no longer, and with it everything that its limit had counted.
        """
        size = verdict.before - len(verdict.went) + len(verdict.came)
        is_first, row.answered = not row.answered and not verdict.before, True
        if not verdict.went and not row.losses and (is_first or not verdict.came):
            self._sum += size - row.size
            row.size = size
            return _NOTHING
        step, now_s = Step(), self._stamp()
        row.subject = records.subject(question)
        if excess is not None and how in ("accepted", "released"):
            self._forgive(step, row, excess)
        losses = self._losses_after(row, verdict, policy, now_s, counts=not how)
        self._sum += size - row.size
        step.put(
            row,
            size=size,
            added=_added_after(row, verdict, now_s - policy.window_s, now_s),
            losses=losses,
        )
        self._note(row)
        return step

    def _losses_after(
        self, row: Row, verdict: Verdict, policy: GuardPolicy, now_s: float, *, counts: bool
    ) -> tuple[PastLoss, ...]:
        losses = row.losses
        if losses:
            losses = returned(losses, map(fingerprint, verdict.came))
            losses = tuple(loss for loss in losses if loss.at_s + loss.keep_s > now_s)
        if not verdict.went or not counts:
            return losses
        loss = PastLoss(
            at_s=now_s,
            before=self._sets_of(row.scope, row, policy.window_s),
            before_all=self._all_sets_before(policy.total.window_s, now_s),
            lost={fingerprint(identity): row.added.get(identity, OLD_S) for identity in verdict.went},
            keep_s=max(policy.window_s, policy.total.window_s),
        )
        named = sum(len(one.lost) for other in self._losing.values() for one in other.losses)
        return bounded((*losses, loss)) if named < _MAX_NAMED else bounded((*losses, loss), 0)

    def _forgive(self, step: Step, row: Row, excess: Excess) -> None:
        """Count no longer what an operator has been told and accepted."""
        if excess.limit in ("window", "total"):
            for one in self._scopes[row.scope].values():
                if one.losses:
                    step.put(one, size=one.size, added=one.added, losses=())
                    self._note(one)
        if excess.limit == "total":
            for one in self._losing.values():
                losses = tuple(msgspec.structs.replace(loss, in_total=False) for loss in one.losses)
                step.put(one, size=one.size, added=one.added, losses=losses)

    def _note(self, row: Row) -> None:
        if row.losses:
            self._losing[row.key] = row
        else:
            self._losing.pop(row.key, None)

    def undo(self, step: Step) -> None:
        """Take back what could not be written."""
        for row in step.undo():
            self._note(row)
        self._summed_until_s = float("-inf")

    def __len__(self) -> int:
        """How many questions are known here."""
        return len(self._rows)

    @property
    def waiting(self) -> bool:
        """Whether any loss still counts."""
        return bool(self._losing)

    async def expire(self) -> None:
        """Drop the losses that count no longer.

        Raises:
            StoreFailed: it could not be written; nothing changed.
            StoreLost: it would not last.
        """
        now_s = self._observed()
        over = [row for row in self._losing.values() if all(loss.at_s + loss.keep_s <= now_s for loss in row.losses)]
        changes = [Change(kind=records.LOSSES, key=row.key, value=None) for row in over]
        await self._store.apply(changes)
        for row in over:
            if all(loss.at_s + loss.keep_s <= now_s for loss in row.losses):
                row.losses = ()
                self._losing.pop(row.key, None)


def _scope(subject: Subject) -> _Scope:
    return subject.client, subject.application_set_namespace, subject.application_set_name


def _stamps(row: Row, start_s: float) -> dict[str, float]:
    """When the sets were added that a row has lost lately, by their fingerprints."""
    return {one: added_s for loss in row.losses if loss.at_s > start_s for one, added_s in loss.lost.items()}


def _added_after(row: Row, verdict: Verdict, start_s: float, now_s: float) -> dict[str, float]:
    """The stamps of the sets that were added lately. A set that is back has the one that it had."""
    had = _stamps(row, start_s)
    added = {identity: at_s for identity, at_s in row.added.items() if at_s > start_s}
    for identity in verdict.went:
        added.pop(identity, None)
    for identity in verdict.came:
        at_s = had.get(fingerprint(identity), now_s) if had else now_s
        if at_s > start_s:
            added[identity] = at_s
    return added if len(added) <= _MAX_ADDED else {}

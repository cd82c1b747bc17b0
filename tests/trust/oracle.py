"""What the hub may answer, by a model of its rules written from the design.

The model keeps every state that a question may be in: who hangs up, or restarts the hub, does not learn how far it
came. An answer that no state allows is wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, permutations, product
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Sets = list[dict[str, Any]]

LONG_AGO = float("-inf")
# How old the time in the store may be, as a part of the maximum age: after a restart an answer may seem so much older.
WRITTEN_AGAIN_AFTER = 0.1


def written(value: Any) -> str:
    """JSON as it is written: the order of keys, and 1 or 1.0, tell values apart."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def same_value(value: Any) -> str:
    """JSON in which only the order of keys does not count."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def seen(value: Any) -> Any:
    """A value as Argo CD decodes it: every number is a float."""
    if isinstance(value, dict):
        return {key: seen(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [seen(inner) for inner in value]
    return float(value) if type(value) is int else value


@dataclass(frozen=True, slots=True)
class Span:
    """Some time between two times."""

    first: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One route, as an operator configures it."""

    name: str
    members: tuple[str, ...]
    combine: str = "concat"
    on: tuple[str, ...] = ()
    mode: str = "enforce"
    max_drop: float = 0.5
    min_sets: int = 5
    release_after_s: float | None = None
    fresh_s: float = 0.0
    fresh_max_s: float = 0.03
    stale_s: float | None = None
    numbers: str = "exact"
    nulls: str = "keep"
    echo: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    unique_by: tuple[str, ...] = ()
    deadline_s: float = 25.0
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """A member's valid answer. ``honest``: "not modified" is said where the hub knows the digest already."""

    sets: Sets
    digest: str = ""
    fresh_for_s: float | None = None
    honest: bool = False

    def __repr__(self) -> str:
        shown = _seen(self.sets)
        kind = "honest " if self.honest else ""
        return f"<{kind}{crc32(shown.encode()):08x}: {shown[:60]} digest={self.digest} fresh={self.fresh_for_s}>"


@dataclass(frozen=True, slots=True)
class Unmodified:
    """A member says "not modified", whether the hub knows anything or not."""

    fresh_for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Bad:
    """A member fails, or says what is no answer. ``replaceable``: an old answer may stand in for it."""

    status: int
    replaceable: bool = True


Said = Given | Unmodified | Bad


@dataclass(frozen=True, slots=True)
class Held:
    text: str
    since: Span
    decision: str = ""
    sets: Sets = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """The last accepted answer, and when it was given last."""

    sets: Sets = field(compare=False)
    text: str
    given: Span


@dataclass(frozen=True, slots=True)
class Known:
    """What the hub remembers until it ends: each member's answer, the whole, and how long it is fresh."""

    members: tuple[tuple[str, str, str], ...]
    sets: Sets = field(compare=False)
    text: str
    fresh: Span

    def member(self, backend: str) -> tuple[Sets, str] | None:
        for name, text, digest in self.members:
            if name == backend:
                return json.loads(text), digest
        return None


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the hub may hold of one question."""

    baseline: frozenset[str] | None = None
    held: Held | None = None
    kept: Kept | None = None
    known: Known | None = None
    truth: Sets = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller sees: a status, and for a 200 the sets, and whether they are marked as old."""

    status: int
    seen: str = ""
    stale: bool = False

    def __repr__(self) -> str:
        shown = f" {crc32(self.seen.encode()):08x}: {self.seen[:100]}" if self.seen else ""
        return f"<{self.status}{' stale' if self.stale else ''}{shown}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One step of a story: what members say, and between which times. ``disturbed``: members whose
    connection may have broken."""

    said: Mapping[str, Said]
    parameters: Mapping[str, Any]
    loop: Span
    wall: Span
    disturbed: frozenset[str]


class Refused(Exception):
    """The members' answers do not make one."""


class Question:
    """One question, in all states that are possible."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.states: frozenset[State] = frozenset((State(),))

    def restarted(self, *, surely_before: bool = True) -> None:
        """The hub was ended, and another one started on its store; or perhaps that is still to come."""
        late_s = (self._rules.stale_s or 0.0) * WRITTEN_AGAIN_AFTER

        def reread(state: State) -> State:
            kept = state.kept
            if kept is not None:
                kept = replace(kept, given=Span(kept.given.first - late_s, kept.given.last))
            return replace(state, known=None, kept=kept)

        before = frozenset() if surely_before else self.states
        self.states = before | {reread(state) for state in self.states}

    def decided(self, decision: str) -> None:
        """An operator decided about what is held."""
        self.states = frozenset(
            replace(state, held=replace(state.held, decision=decision))
            for state in self.states
            if state.held is not None
        )

    def may_hold(self) -> bool:
        return any(state.held is not None for state in self.states)

    def must_hold(self) -> bool:
        return all(state.held is not None for state in self.states)

    def observe(self, moment: Moment, outcomes: Sequence[Outcome | None]) -> bool:
        """Take what callers saw, in about this order, ``None`` for who hung up; false if nothing explains it."""
        for order in dict.fromkeys(permutations(outcomes)):
            states = self.states
            for outcome in order:
                states = frozenset(self._after(states, moment, outcome))
            if states:
                self.states = _united(states) if None in order else states
                return True
        return False

    def expected(self, moment: Moment) -> set[Outcome]:
        """What may be seen now; for messages."""
        return {outcome for state in self.states for outcome, _ in self._options(state, moment)}

    def _after(self, states: frozenset[State], moment: Moment, outcome: Outcome | None) -> Iterator[State]:
        for state in states:
            if outcome is None:
                yield state
                yield replace(state, known=None)
            options = list(self._options(state, moment))
            if outcome is not None and outcome.stale and moment.disturbed:
                yield from _interrupted(state, options, outcome)
            for possible, after in options:
                if outcome is None:
                    # Whoever hangs up may stop the hub between two of its writes. Then it remembers nothing.
                    yield after
                    yield replace(after, known=None)
                    yield replace(after, kept=state.kept, known=None)
                elif possible == outcome:
                    yield after

    def _options(self, state: State, moment: Moment) -> Iterator[tuple[Outcome, State]]:
        known = state.known
        if known is not None and known.fresh.last > moment.loop.first:
            yield Outcome(200, _seen(known.sets)), state
            if known.fresh.first > moment.loop.last:
                return
        members = self._rules.members
        losses = product(*((False, True) if name in moment.disturbed else (False,) for name in members))
        for lost in losses:
            said = {name: Bad(503) if gone else moment.said[name] for name, gone in zip(members, lost, strict=True)}
            yield from self._asked(state, moment, said)

    def _asked(self, state: State, moment: Moment, said: Mapping[str, Said]) -> Iterator[tuple[Outcome, State]]:
        answers: list[tuple[str, Given]] = []
        failure: Bad | None = None
        for name in self._rules.members:
            answer = _resolved(state, name, said[name])
            if isinstance(answer, Bad):
                failure = failure or answer
                continue
            answers.append((name, answer))
            if self._rules.combine == "first":
                failure = None
                break
        if failure is not None:
            yield from self._failed(state, moment, failure)
            return
        try:
            sets = combined(answers, self._rules, moment.parameters)
        except Refused:
            yield from self._failed(state, moment, Bad(502))
            return
        yield from self._guarded(state, moment, answers, sets)

    def _failed(self, state: State, moment: Moment, failure: Bad) -> Iterator[tuple[Outcome, State]]:
        kept, max_age_s = state.kept, self._rules.stale_s
        if kept is None or max_age_s is None or not failure.replaceable:
            yield Outcome(failure.status), state
            return
        if moment.wall.first - kept.given.last <= max_age_s:
            yield Outcome(200, _seen(kept.sets), stale=True), state
        if moment.wall.last - kept.given.first > max_age_s:
            yield Outcome(failure.status), state

    def _guarded(
        self, state: State, moment: Moment, answers: list[tuple[str, Given]], sets: Sets
    ) -> Iterator[tuple[Outcome, State]]:
        rules, text = self._rules, written(sets)
        accepted = self._accepted(state, moment, answers, sets)
        passes = (Outcome(200, _seen(sets)), accepted)
        if rules.mode == "off":
            yield Outcome(200, _seen(sets)), replace(accepted, baseline=state.baseline, held=state.held)
            return
        before, after = state.baseline or frozenset(), identities(sets, rules)
        went = len(before - after)
        if rules.mode == "observe" or went < rules.min_sets or went <= rules.max_drop * len(before):
            yield passes
            return
        held = state.held
        fate = _Fate() if held is None else _fate(state.truth, held.sets, sets, rules)
        if held is None or fate.may_differ:
            now_held = replace(state, held=Held(text, moment.wall, sets=sets))
            yield from self._failed(now_held, moment, Bad(409))
        if held is None:
            return
        if held.decision == "accepted" and fate.may_be_covered:
            yield passes
            if fate.is_covered:
                return
        if not fate.may_be_same:
            return
        waited_s = moment.wall.last - held.since.first
        if rules.release_after_s is not None and held.decision != "rejected" and waited_s >= rules.release_after_s:
            yield passes
            if moment.wall.first - held.since.last >= rules.release_after_s:
                return
        yield from self._failed(state, moment, Bad(409))

    def _accepted(self, state: State, moment: Moment, answers: list[tuple[str, Given]], sets: Sets) -> State:
        rules, text = self._rules, written(sets)
        fresh_s = min(
            min(rules.fresh_s if one.fresh_for_s is None else one.fresh_for_s, rules.fresh_max_s) for _, one in answers
        )
        fresh = Span(LONG_AGO, LONG_AGO)
        if fresh_s > 0:
            fresh = Span(moment.loop.first + fresh_s, moment.loop.last + fresh_s)
        members = tuple((name, written(one.sets), one.digest) for name, one in answers)
        return State(
            baseline=identities(sets, rules),
            held=None,
            truth=sets,
            kept=Kept(sets, text, moment.wall) if rules.stale_s is not None else state.kept,
            known=Known(members, sets, text, fresh),
        )


def _united(states: frozenset[State]) -> frozenset[State]:
    """The same, but states that differ in times only are one: each try whose fate is unclear would add as many."""
    found: dict[tuple[object, ...], State] = {}
    for state in states:
        held, kept, known = state.held, state.kept, state.known
        key = (
            state.baseline,
            held and (held.text, held.decision),
            kept and kept.text,
            known and (known.members, known.text),
        )
        other = found.get(key)
        if other is not None:
            if held is not None and other.held is not None:
                held = replace(held, since=_either(held.since, other.held.since))
            if kept is not None and other.kept is not None:
                kept = replace(kept, given=_either(kept.given, other.kept.given))
            if known is not None and other.known is not None:
                known = replace(known, fresh=_either(known.fresh, other.known.fresh))
            state = replace(state, held=held, kept=kept, known=known)  # noqa: PLW2901
        found[key] = state
    return frozenset(found.values())


def _either(one: Span, other: Span) -> Span:
    return Span(min(one.first, other.first), max(one.last, other.last))


def _interrupted(state: State, options: Sequence[tuple[Outcome, State]], outcome: Outcome) -> Iterator[State]:
    """Out of time when it had accepted an answer, the hub gives what it keeps: that answer, or the one before."""
    for possible, after in options:
        if possible.status != 200 or possible.stale:
            continue
        if after.kept is not None and _seen(after.kept.sets) == outcome.seen:
            yield replace(after, known=None)
        if any(other == outcome for other, _ in options):
            yield replace(after, kept=state.kept, known=None)


def _resolved(state: State, backend: str, said: Said) -> Given | Bad:
    """What a member's word means to a hub in this state."""
    if isinstance(said, Bad):
        return said
    known = None if state.known is None else state.known.member(backend)
    if isinstance(said, Unmodified):
        if known is None or not known[1]:
            return Bad(502)
        return Given(known[0], known[1], said.fresh_for_s)
    if said.honest and known is not None and known[1] == said.digest:
        return Given(known[0], known[1], said.fresh_for_s)
    return said


def _seen(sets: Sets) -> str:
    return same_value(seen(sets))


def identities(sets: Sets, rules: Rules) -> frozenset[str]:
    """What makes each set the one that it is."""
    return _under(sets, _keys(rules))


def _keys(rules: Rules) -> tuple[str, ...]:
    return rules.unique_by or (rules.on if rules.combine == "merge" else ())


def _under(sets: Sets, keys: tuple[str, ...]) -> frozenset[str]:
    return frozenset(same_value([one[key] for key in keys] if keys else one) for one in sets)


@dataclass(frozen=True, slots=True)
class _Fate:
    """How an answer that loses too much stands to the one that is held."""

    may_be_same: bool = False
    may_differ: bool = True
    may_be_covered: bool = False
    is_covered: bool = False


def _fate(truth: Sets, held: Sets, now: Sets, rules: Rules) -> _Fate:
    """Whether the answer loses the same as the one that is held, or no more.

    Without keys, and with sets that are new in either, that depends on the keys that the hub would suggest. Any that
    tell sets apart may be those; without any, the number of sets must not fall.
    """
    keys = _keys(rules)
    before = _under(truth, keys)
    lost_then, lost_now = before - _under(held, keys), before - _under(now, keys)
    if keys or not (_under(held, ()) - before or _under(now, ()) - before):
        covered = lost_now <= lost_then
        return _Fate(lost_now == lost_then, lost_now != lost_then, covered, covered)
    options = _losses(truth, held), _losses(truth, now)
    by_count = lost_now <= lost_then and len(now) >= len(held)
    covered = by_count or any(after <= then for then in options[0] for after in options[1])
    return _Fate(may_be_same=True, may_differ=True, may_be_covered=covered)


def _losses(truth: Sets, sets: Sets) -> list[frozenset[str]]:
    """The sets of the past that are missing, under all keys that tell sets apart; whole sets stand for themselves."""
    common = [key for key in (truth[0] if truth else {}) if all(key in one for one in (*truth, *sets))]
    found = []
    for keys in chain.from_iterable(combinations(common, size) for size in (1, 2, 3)):
        if len(_under(truth, keys)) == len(truth) and len(_under(sets, keys)) == len(sets):
            after = _under(sets, keys)
            found.append(frozenset(same_value(one) for one in truth if not _under([one], keys) <= after))
    after = _under(sets, ())
    return [*found, frozenset(text for one in truth if (text := same_value(one)) not in after)]


def combined(answers: list[tuple[str, Given]], rules: Rules, parameters: Mapping[str, Any]) -> Sets:
    """The one answer of a route.

    Raises:
        Refused: there is none.
    """
    sets = [one for _, given in answers for one in given.sets]
    if rules.combine == "merge":
        sets = _merged([given.sets for _, given in answers], rules.on)
    sets = [_rewritten(one, rules, parameters) for one in sets]
    for one in sets:
        if not one or any(one.get(key) in (None, "") for key in rules.required) or _collides(one):
            raise Refused
    if rules.unique_by:
        _by_keys(sets, rules.unique_by)
        if any(one[key] == "" for key in rules.unique_by for one in sets):
            raise Refused
    return sets


def _merged(members: list[Sets], on: tuple[str, ...]) -> Sets:
    base = {key: dict(one) for key, one in _by_keys(members[0], on).items()}
    for addition in members[1:]:
        for key, one in _by_keys(addition, on).items():
            if key not in base:
                continue
            for name, value in one.items():
                if name in base[key] and same_value(base[key][name]) != same_value(value):
                    raise Refused
                base[key][name] = value
    return list(base.values())


def _by_keys(sets: Sets, keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in sets:
        if any(key not in one for key in keys):
            raise Refused
        identity = same_value([one[key] for key in keys])
        if identity in found:
            raise Refused
        found[identity] = one
    return found


def _rewritten(one: dict[str, Any], rules: Rules, parameters: Mapping[str, Any]) -> dict[str, Any]:
    for key in rules.echo:
        if key in one and same_value(one[key]) != same_value(parameters[key]):
            raise Refused
    echoed = {**one, **{key: parameters[key] for key in rules.echo}}
    made: dict[str, Any] = _value(echoed, rules)
    return made


def _value(value: Any, rules: Rules) -> Any:
    if value is None and rules.nulls == "refuse":
        raise Refused
    if isinstance(value, dict):
        return {key: _value(inner, rules) for key, inner in value.items() if inner is not None or rules.nulls != "drop"}
    if isinstance(value, list):
        if rules.nulls == "drop" and None in value:
            raise Refused
        return [_value(inner, rules) for inner in value]
    return str(value) if type(value) is int and rules.numbers == "text" else value


def _collides(one: dict[str, Any]) -> bool:
    paths = list(_paths(one, None))
    return len(paths) != len(set(paths))


def _paths(value: Any, path: str | None) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, key if path is None else f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{path}.{index}")
    elif path is not None:
        yield path

"""What ApplicationSets have lost lately: against a model, with rows that come and go, and a store that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.errors import AnswerHeld, StoreDamaged, StoreFailed
from hub.core.events import StoreTrouble
from hub.core.guard import GuardPolicy, TotalPolicy, judge
from hub.core.losses import own_excess
from hub.core.question import Question
from hub.core.routes import Trust
from hub.service import records
from hub.service.elapsed import ObservedTime
from hub.service.losses import Losses
from tests.support.fakes import FakeEvents, FakeLink, FakeStore, Says, sets
from tests.support.service import Service, route
from tests.support.virtual import on_virtual_time

if TYPE_CHECKING:
    from hub.core.guard import Verdict
    from hub.core.losses import Excess
    from hub.service.losses import Row, Step

HALF = GuardPolicy(max_drop=0.5, total=TotalPolicy(max_drop=1.0))
WINDOW_S = 3600.0


def question(row: str, name: str = "fb-1") -> Question:
    return Question(
        client="argocd", route="r", application_set_name=name, application_set_namespace="", input_json=row.encode()
    )


class Bookkeeping:
    """Losses on a clock of the test's, and the baselines that a guard would keep."""

    def __init__(self, store: FakeStore | None = None, *, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.store, self.events = store or FakeStore(), FakeEvents()
        self.observed = ObservedTime(self.store, self.events, lambda: self.now_s)
        self.losses = Losses(self.store, self.events, clock=lambda: self.now_s, observed=self.observed)
        self.baselines: dict[tuple[str, str], frozenset[str]] = {}

    async def opened(self) -> Bookkeeping:
        await self.observed.open()
        await self.losses.open()
        return self

    def judged(
        self, row: str, names: frozenset[str], policy: GuardPolicy = HALF, name: str = "fb-1"
    ) -> tuple[Row, Verdict, Excess | None]:
        asked, before = question(row, name), self.baselines.get((name, row), frozenset())
        verdict = judge(before, names, policy)
        found = self.losses.row(records.key(asked), asked, len(before))
        return found, verdict, own_excess(verdict, policy) or self.losses.excess(found, verdict, policy)

    def begin(self, row: str, names: frozenset[str], policy: GuardPolicy = HALF, name: str = "fb-1") -> Step | None:
        """Accept an answer, if it may be: what has to be written then."""
        found, verdict, excess = self.judged(row, names, policy, name)
        if excess is not None:
            return None
        step = self.losses.accept(found, question(row, name), verdict, policy, how="", excess=None)
        self.baselines[name, row] = names
        return step

    async def answer(self, row: str, *names: str, policy: GuardPolicy = HALF, name: str = "fb-1") -> bool:
        """Whether an answer passes; then it is written."""
        step = self.begin(row, frozenset(names), policy, name)
        if step is not None:
            await self.store.apply(step.changes)
        return step is not None

    async def restarted(self) -> Bookkeeping:
        again = await Bookkeeping(self.store).opened()
        again.baselines = self.baselines
        return again


class Life(msgspec.Struct):
    """A set of a row, from when it was added until it was lost; one that came back was never away."""

    row: str
    name: str
    added_s: float
    lost_s: float = float("inf")


class Model:
    """The rule, word for word: of what was there at any moment of the window, not too much may be missing now.

    A question that was asked first after that moment counts with its first answer.
    """

    def __init__(self) -> None:
        self._lives: list[Life] = []
        self._rows: set[str] = set()

    def passes(self, at_s: float, row: str, names: frozenset[str]) -> bool:
        there = [life for life in self._lives if life.row == row and life.lost_s > at_s]
        back = self._back(at_s, row, names)
        going = [life for life in there if life.name not in names]
        if self._too_much(len(going), len(there)):
            return False
        if going:
            for moment_s in self._moments(at_s, back):
                lives = [life for life in self._lives if life.added_s < moment_s]
                had = [life for life in lives if moment_s <= life.lost_s or life in back]
                gone = [one for one in had if one in going or (one.lost_s <= at_s and one not in back)]
                if self._too_much(len(gone), len(had)):
                    return False
        self._take(at_s, row, names, back, going)
        return True

    def _back(self, at_s: float, row: str, names: frozenset[str]) -> list[Life]:
        lost = [life for life in self._lives if life.row == row and at_s - WINDOW_S < life.lost_s <= at_s]
        return [life for life in lost if life.name in names]

    def _moments(self, at_s: float, back: list[Life]) -> list[float]:
        start_s = at_s - WINDOW_S
        losses = {life.lost_s for life in self._lives if start_s <= life.lost_s <= at_s and life not in back}
        return [start_s, *losses, at_s]

    def _take(self, at_s: float, row: str, names: frozenset[str], back: list[Life], going: list[Life]) -> None:
        for life in going:
            life.lost_s = at_s
        for life in back:
            life.lost_s = float("inf")
        there = {life.name for life in self._lives if life.row == row and life.lost_s > at_s}
        added_s = at_s if row in self._rows else float("-inf")
        self._lives += [Life(row=row, name=name, added_s=added_s) for name in sorted(names - there)]
        self._rows.add(row)

    @staticmethod
    def _too_much(gone: int, before: int) -> bool:
        return gone >= HALF.min_sets and gone > 0.5 * before


NAMES = [f"s{number}" for number in range(16)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.frozensets(st.sampled_from(NAMES)),
        st.sampled_from([1.0, 61.7, 907.3, 3001.9]),
    ),
    max_size=25,
)


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_it_holds_what_the_rule_holds(steps: list[tuple[str, frozenset[str], float]]) -> None:
    kept, model = Bookkeeping(now_s=1e6), Model()
    for row, names, later_s in steps:
        kept.now_s += later_s
        # Rows are asked on each reconcile.
        for other in ("a", "b", "c"):
            if ("fb-1", other) in kept.baselines:
                kept.losses.row(records.key(question(other)), question(other), len(kept.baselines["fb-1", other]))
        passed = kept.begin(row, names) is not None
        assert passed == model.passes(kept.now_s, row, names), (row, names)


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"n{number}" for number in range(start, start + count)]


async def test_rows_that_are_no_longer_asked_neither_lose_nor_make_up_for_losses() -> None:
    kept = await Bookkeeping().opened()
    for row in "abcdefghij":
        await kept.answer(row, *numbered(10))
    kept.now_s += WINDOW_S + 1
    # Only these are still asked: twenty sets, so that eleven are too many.
    assert await kept.answer("a", *numbered(10))
    assert await kept.answer("b", *numbered(5))
    assert await kept.answer("a", *numbered(5))
    assert not await kept.answer("a", *numbered(4))


async def test_two_answers_that_are_judged_at_once_cannot_both_use_what_is_left() -> None:
    kept = await Bookkeeping().opened()
    for row in "ab":
        await kept.answer(row, *numbered(10))
    first = kept.begin("a", frozenset(numbered(5)))
    second = kept.begin("b", frozenset(numbered(5)))
    assert first is not None
    assert second is not None
    third = kept.begin("a", frozenset(numbered(4)))
    assert third is None, "nothing of it is written yet, and it counts"


async def test_what_could_not_be_written_does_not_count() -> None:
    kept = await Bookkeeping().opened()
    for row in "ab":
        await kept.answer(row, *numbered(10))
    step = kept.begin("a", frozenset(numbered(5)))
    assert step is not None
    kept.losses.undo(step)
    kept.baselines["fb-1", "a"] = frozenset(numbered(10))
    assert not kept.losses.waiting
    assert await kept.answer("b", *numbered(5))
    assert await kept.answer("a", *numbered(5))


async def test_nothing_is_written_where_nothing_was_lost() -> None:
    kept = await Bookkeeping().opened()
    for count in (10, 11, 12):
        step = kept.begin("a", frozenset(numbered(count)))
        assert step is not None
        assert step.changes == []


async def test_losses_are_dropped_when_they_count_no_longer() -> None:
    kept = await Bookkeeping().opened()
    await kept.answer("a", *numbered(10))
    await kept.answer("a", *numbered(6))
    assert len(await kept.store.load(records.LOSSES)) == 1
    await kept.losses.expire()
    assert kept.losses.waiting
    kept.now_s += WINDOW_S + 1
    await kept.losses.expire()
    assert not kept.losses.waiting
    assert await kept.store.load(records.LOSSES) == {}


async def test_losses_that_cannot_be_dropped_are_dropped_later() -> None:
    kept = await Bookkeeping().opened()
    await kept.answer("a", *numbered(10))
    await kept.answer("a", *numbered(6))
    kept.now_s += WINDOW_S + 1
    kept.store.failing = True
    with pytest.raises(StoreFailed):
        await kept.losses.expire()
    kept.store.failing = False
    await kept.losses.expire()
    assert not kept.losses.waiting


async def test_losses_that_cannot_be_read_fail_their_question_only() -> None:
    kept = await Bookkeeping().opened()
    await kept.answer("a", *numbered(10))
    await kept.answer("a", *numbered(6))
    key = records.key(question("a"))
    kept.store.values[records.LOSSES, key] = b"{"
    again = await Bookkeeping(kept.store).opened()
    assert f'the record "losses" of "{key}"' in again.events.of(StoreTrouble)[0].detail
    with pytest.raises(StoreDamaged):
        again.losses.check(key)
    again.losses.check(records.key(question("b")))


async def test_beyond_a_bound_the_rows_that_were_asked_longest_ago_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.service.losses._MAX_ROWS", 20)
    kept = await Bookkeeping().opened()
    await kept.answer("lost", *numbered(10))
    await kept.answer("lost", *numbered(6))
    for row in range(100):
        kept.now_s += 1
        await kept.answer(str(row), *numbered(1), name=f"one-off-{row}")
    assert len(kept.losses) <= 20
    assert not await kept.answer("lost", *numbered(4)), "what it has lost is never forgotten"


async def test_a_set_that_came_back_may_be_lost_again() -> None:
    kept = await Bookkeeping().opened()
    for _ in range(5):
        assert await kept.answer("a", *numbered(10))
        assert await kept.answer("a", *numbered(6))


@pytest.mark.parametrize("written", [True, False])
async def test_observed_time_goes_on_after_a_restart(*, written: bool) -> None:
    store, events, now = FakeStore(), FakeEvents(), [50.0]
    first = ObservedTime(store, events, lambda: now[0])
    await first.open()
    begun_s = first()
    now[0] += 100
    assert first() == begun_s + 100
    if written:
        await first.save()
    now[0] = 7.0
    again = ObservedTime(store, events, lambda: now[0])
    await again.open()
    assert again() == (begun_s + 100 if written else begun_s)
    again.reached(begun_s + 500)
    assert again() == begun_s + 500
    again.reached(begun_s)
    assert again() == begun_s + 500, "it only grows"


async def test_a_count_of_the_time_that_cannot_be_read_is_reported_and_begins_again() -> None:
    store, events = FakeStore(), FakeEvents()
    store.values[records.OBSERVED, "hub"] = b"["
    again = ObservedTime(store, events, lambda: 5.0)
    await again.open()
    assert again() == 1.0
    assert "observed_time" in events.of(StoreTrouble)[0].detail


def of_numbers(*numbers: int) -> Any:
    return sets(*({"n": str(number)} for number in numbers))


@on_virtual_time
async def test_while_something_is_held_the_time_is_written_every_minute() -> None:
    hub = Service(route("r", trust=Trust(guard=GuardPolicy(release_after_s=1800.0))))
    await hub.guard.open()
    tending = asyncio.ensure_future(hub.guard.tend())
    await hub.attach(FakeLink("one", Says(of_numbers(*range(10)), of_numbers(1))))
    await hub.ask()
    await asyncio.sleep(200)
    assert (records.OBSERVED, "hub") not in hub.store.values, "nothing waits"
    await hub.refusal()
    await asyncio.sleep(1000)
    tending.cancel()
    # Another process, after a crash: what the first one has written counts, which is up to its last minute.
    again = Service(route("r", trust=Trust(guard=GuardPolicy(release_after_s=1800.0))), store=hub.store)
    await again.guard.open()
    await again.attach(FakeLink("one", Says(of_numbers(1))))
    await asyncio.sleep(700)
    assert isinstance(await again.refusal(), AnswerHeld)
    await asyncio.sleep(200)
    assert len(await again.ask()) == 1


@on_virtual_time
async def test_an_answer_that_an_older_hub_held_waits_from_the_start_of_this_one() -> None:
    hub = Service(route("r", trust=Trust(guard=GuardPolicy(release_after_s=1800.0))))
    await hub.guard.open()
    await hub.attach(FakeLink("one", Says(of_numbers(*range(10)), of_numbers(1))))
    await hub.ask()
    await hub.refusal()
    ((of, value),) = ((of, value) for of, value in hub.store.values.items() if of[0] == records.HELD)
    old = {key: text for key, text in msgspec.json.decode(value).items() if key not in ("observed_s", "limit", "why")}
    hub.store.values[of] = msgspec.json.encode(old)
    again = Service(route("r", trust=Trust(guard=GuardPolicy(release_after_s=1800.0))), store=hub.store)
    await again.guard.open()
    await again.attach(FakeLink("one", Says(of_numbers(1))))
    assert isinstance(await again.refusal(), AnswerHeld)
    await asyncio.sleep(1799)
    assert isinstance(await again.refusal(), AnswerHeld)
    await asyncio.sleep(1)
    assert len(await again.ask()) == 1


@on_virtual_time
async def test_a_question_that_is_answered_from_the_cache_is_still_asked() -> None:
    hub = Service(route("r", trust=Trust(guard=HALF)))
    await hub.guard.open()
    await hub.attach(FakeLink("one", Says(*[of_numbers(*range(10))] * 2, of_numbers(*range(10)))))
    asked: list[Row] = []
    for row in (1, 2):
        await hub.ask(parameters={"row": row})
        remembered = hub.remembered.get(
            Question(
                client="argocd",
                route="r",
                application_set_name="fb-1",
                application_set_namespace="",
                input_json=b'{"row":%d}' % row,
            )
        )
        assert remembered is not None
        assert remembered.row is not None
        asked.append(remembered.row)
    before_s = [row.asked_s for row in asked]
    await asyncio.sleep(100)
    await hub.ask(parameters={"row": 1})
    assert [row.asked_s - at_s for row, at_s in zip(asked, before_s, strict=True)] == [100.0, 0.0]

"""What is kept of accepted answers: the same from memory as from the store, whatever came in between."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core import guard as core
from hub.core.answer import Limits, check
from hub.core.combine import Answer, Concat, Recipe, combine
from hub.core.comparison import align
from hub.core.keys import Identification, Keys
from hub.service.baselines import Baselines, Known
from tests.support.fakes import FakeStore

SUBJECT = core.Subject(
    client="argocd", route="r", application_set_name="fb", application_set_namespace="", input_digest="00"
)
POLICY = core.GuardPolicy(max_drop=1.0)

# How many sets, which of them have another value, how long their texts are, and by what they are identified.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sets(st.integers(0, 59), max_size=3),
        st.sampled_from([0, 60]),
        st.sampled_from([(), ("name",), ("name", "zone")]),
    ),
    min_size=1,
    max_size=8,
)


def made(count: int, others: set[int], pad: int, keys: tuple[str, ...]) -> Answer:
    sets = [{"name": f"svc-{n}", "zone": f"z-{n % 3}", "tag": str(n in others), "pad": "x" * pad} for n in range(count)]
    raw = msgspec.json.encode(sets)
    identification = Identification(whole=Keys(keys=keys, source="route") if keys else None)
    recipe = Recipe(route="r", combine=Concat(), identify=True, identification=identification)
    checked = check(raw, subject="b", limits=Limits(), identify=not keys)
    return combine([("images", checked)], recipe, {}, Limits())


def seen(known: Known | None) -> Any:
    assert known is not None
    return known.past.rows, known.past.basis, known.past.columns, known.changes, known.written


async def accept(baselines: Baselines, store: FakeStore, number: int, answer: Answer) -> None:
    known = await baselines.find("key")
    verdict = core.judge((), answer.identities, POLICY)
    if known is not None:
        aligned = align(known.past, answer, list, answer.members) if known.past.basis == answer.basis else None
        after = answer.identities if aligned is None else aligned.after
        verdict = msgspec.structs.replace(
            core.judge(known.past.rows, after, POLICY), changed=() if aligned is None else aligned.changed
        )
    moved, changes = baselines.accept(
        "key", known, subject=SUBJECT, now_s=float(number), answer=answer, verdict=verdict, change=None
    )
    await store.apply(changes)
    baselines.keep("key", moved)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_baseline_is_the_same_from_memory_and_from_the_store(steps: list[Any]) -> None:
    async def story() -> None:
        store = FakeStore()
        baselines = Baselines(store, max_cached_bytes=1 << 30)
        for number, step in enumerate(steps):
            answer = made(*step)
            await accept(baselines, store, number, answer)
            here, there = await baselines.find("key"), await Baselines(store, max_cached_bytes=1 << 30).find("key")
            assert seen(here) == seen(there)
            assert here is not None
            assert there is not None
            assert here.differ == there.differ
            assert here.past.has(answer)
            assert here.past.rows.keys() == set(answer.identities)

    asyncio.run(story())

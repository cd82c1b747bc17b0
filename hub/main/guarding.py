"""Wires the guard: what it compares with, how long that is kept, and which questions take it over."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.core.errors import StoreFailed, StoreLost
from hub.service.askers import ConfiguredAskers
from hub.service.baselines import Baselines
from hub.service.eviction import Eviction
from hub.service.guard import Guard
from hub.service.held import HeldAnswers
from hub.service.inheritance import Inheritance
from hub.service.lessons import Lessons
from hub.service.losses import Losses
from hub.service.newcomers import Newcomers
from hub.service.remarks import Remarks
from hub.service.uses import Uses
from hub.service.variety import Variety

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.service.audit import AuditLog
    from hub.service.elapsed import ObservedTime
    from hub.service.ports import Clock, Events, Store, WallClock
    from hub.service.routing import Routing
    from hub.service.taught import TaughtKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """The guard and its parts."""

    guard: Guard
    uses: Uses
    eviction: Eviction
    variety: Variety
    askers: ConfiguredAskers
    baselines: Baselines

    async def open(self) -> None:
        """Read what is kept from before this process started."""
        await self.uses.open()
        await self.guard.open()

    async def close(self) -> None:
        """Write what a restart should not cost."""
        # The store has said why it failed, and the hub stops.
        with suppress(StoreFailed, StoreLost):
            await self.uses.write()
        await self.guard.close()


def guarding(  # noqa: PLR0913 - what it is made of, each of them named at the call
    *,
    store: Store,
    events: Events,
    clock: WallClock,
    monotonic: Clock,
    audit: AuditLog,
    routing: Routing,
    taught: TaughtKeys,
    observed: ObservedTime,
    forget_answers: Callable[[], None],
    kept_questions: int,
    baseline_bytes: int,
) -> Guarding:
    """Build the guard."""
    baselines, held = (
        Baselines(store, max_cached_bytes=baseline_bytes),
        HeldAnswers(store, events, clock, audit, observed),
    )
    losses = Losses(store, events, clock=monotonic, observed=observed)
    askers = ConfiguredAskers(routing)
    uses = Uses(store=store, clock=clock, monotonic=monotonic, policies=routing)
    eviction = Eviction(
        store=store,
        events=events,
        uses=uses,
        baselines=baselines,
        held=held,
        forget_answers=forget_answers,
        limit=kept_questions,
    )
    variety = Variety(events=events, clock=clock, asked_again=uses.asked_again)
    newcomers = Newcomers(
        uses=uses,
        eviction=eviction,
        inheritance=Inheritance(
            store=store,
            events=events,
            clock=clock,
            uses=uses,
            baselines=baselines,
            held=held,
            losses=losses,
            askers=askers,
        ),
        variety=variety,
    )
    guard = Guard(
        store=store,
        events=events,
        clock=clock,
        audit=audit,
        baselines=baselines,
        held=held,
        lessons=Lessons(held, taught),
        newcomers=newcomers,
        remarks=Remarks(events),
        losses=losses,
        observed=observed,
    )
    return Guarding(guard=guard, uses=uses, eviction=eviction, variety=variety, askers=askers, baselines=baselines)

"""What operators have frozen: kept in the store, and checked before a changed answer is accepted.

While a route is frozen, only an answer that is shown to equal the last accepted one leaves. What cannot be compared is
refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from hub.core.errors import Frozen, HubError, StoreDamaged
from hub.core.events import FreezeLifted, RouteFrozen, StoreTrouble
from hub.core.freezes import Freeze, refusal, same_sets
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from types import TracebackType

    from hub.core.combine import Answer
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.audit import AuditLog
    from hub.service.ports import Events, Store, WallClock

ALL = ""
"""The route of a freeze of all routes."""

_ALL_KEY = "*"  # No route has this name.

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Freeze).decode


class FreezeView(msgspec.Struct, frozen=True, kw_only=True):
    """A freeze as operators see it. ``changed``: the command changed something. ``lasting``: it survives a restart."""

    route: str
    reason: str
    by: str
    since_s: float
    changed: bool = True
    lasting: bool = True


class Accepted(Protocol):
    """Knows what was accepted last."""

    async def same_as_accepted(self, question: Question, route: Route, answer: Answer) -> bool | None:
        """Whether an answer equals the last accepted one; ``None``: there is none, or it is not kept.

        Raises:
            StoreDamaged: it cannot be read.
            StoreFailed: it cannot be read now.
        """
        ...


class _Passing:
    """The changed answers that are on their way out; a freeze that begins waits for those that it let pass.

    A context manager without a generator: routes with ``stale_if_error`` enter it with each answer.
    """

    __slots__ = ("_count", "_none_left")

    def __init__(self) -> None:
        self._count = 0
        self._none_left: asyncio.Event | None = None

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._count -= 1
        if self._none_left is not None and not self._count:
            self._none_left.set()

    async def end(self) -> None:
        """Wait until none is left; no other one may enter."""
        if self._count:
            self._none_left = asyncio.Event()
            await self._none_left.wait()


class Freezes:
    """What is frozen."""

    def __init__(self, *, store: Store, events: Events, clock: WallClock, audit: AuditLog, accepted: Accepted) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._audit = audit
        self._accepted = accepted
        self._frozen: dict[str, Freeze] = {}
        self._passing = _Passing()
        self._deciding = asyncio.Lock()

    async def open(self) -> None:
        """Read what was frozen before this process started. A freeze that cannot be read is one without a reason."""
        for key, value in (await self._store.load(records.FREEZES)).items():
            route = ALL if key == _ALL_KEY else key
            try:
                self._frozen[route] = records.read(_decode, records.FREEZES, key, value)
            except StoreDamaged as error:
                # Fail closed: that something was frozen is known from the key.
                self._frozen[route] = Freeze(route=route, reason="", by="", since_s=0.0)
                self._events.emit(StoreTrouble(detail=str(error)))

    def of(self, route: str) -> Freeze | None:
        """The freeze of a route, or of all routes, if there is one."""
        return self._frozen.get(ALL) or self._frozen.get(route) if self._frozen else None

    def all(self) -> list[Freeze]:
        """What is frozen: everything first, then routes by name."""
        return [self._frozen[route] for route in sorted(self._frozen)]

    def passing(self) -> _Passing:
        """An answer is on its way out; ``check`` it in this context."""
        return self._passing

    async def check(self, question: Question, route: Route, answer: Answer, before: Answer | None) -> None:
        """Let an answer pass unless its route is frozen and it is not known to equal the last accepted one.

        ``before`` is that one, if it is at hand.

        Raises:
            Frozen: it must not leave.
            StoreDamaged: what it is compared with cannot be read.
            StoreFailed: it cannot be read now.
        """
        freeze = self.of(route.name)
        if freeze is None:
            return
        same: bool | None = same_sets(before.body, answer.body) if before is not None else None
        if same is None:
            same = await self._accepted.same_as_accepted(question, route, answer)
        if not same:
            raise Frozen(refusal(freeze, route.name, differs=same is not None))

    async def freeze(self, route: str, reason: str, who: str) -> FreezeView:
        """Freeze a route, or all; returns once no changed answer leaves any more.

        Raises:
            StoreFailed: it could not be written; nothing changed.
        """
        async with self._deciding:
            freeze = Freeze(route=route, reason=reason, by=who, since_s=self._clock())
            before = self._frozen.get(route)
            # In force before it is written: an answer that changes in between would be one too many.
            self._frozen[route] = freeze
            try:
                await self._write(route, _encode(freeze), self._audit.frozen(route, reason, who))
            except HubError:
                self._put_back(route, before)
                raise
            await self._let_pass()
        self._events.emit(RouteFrozen(route=route, reason=reason, who=who))
        return self._view(freeze, changed=True)

    async def unfreeze(self, route: str, who: str) -> FreezeView:
        """Lift a freeze; one that there is not stays so.

        Raises:
            StoreFailed: it could not be written; nothing changed.
        """
        async with self._deciding:
            freeze = self._frozen.get(route)
            if freeze is None:
                return self._view(Freeze(route=route, reason="", by="", since_s=0.0), changed=False)
            await self._write(route, None, self._audit.unfrozen(route, who))
            del self._frozen[route]
        self._events.emit(FreezeLifted(route=route, who=who))
        return self._view(freeze, changed=True)

    async def _write(self, route: str, value: bytes | None, entry: Change) -> None:
        await self._store.apply([Change(kind=records.FREEZES, key=route or _ALL_KEY, value=value), entry])

    def _put_back(self, route: str, before: Freeze | None) -> None:
        if before is None:
            del self._frozen[route]
        else:
            self._frozen[route] = before

    async def _let_pass(self) -> None:
        passing, self._passing = self._passing, _Passing()
        await passing.end()

    def _view(self, freeze: Freeze, *, changed: bool) -> FreezeView:
        return FreezeView(
            route=freeze.route,
            reason=freeze.reason,
            by=freeze.by,
            since_s=freeze.since_s,
            changed=changed,
            lasting=self._store.lasting,
        )

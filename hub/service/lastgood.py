"""The last accepted answers, for routes that rather give an old answer than an error.

Written before the answer itself leaves, so that no older one is ever given after it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from hub.core.combine import Answer
from hub.core.errors import (
    AnswerHeld,
    BackendAbsent,
    BackendNotReady,
    BackendUnresponsive,
    BadGateway,
    DeadlinePassed,
    HubError,
    StoreDamaged,
    StoreFailed,
    StoreLost,
)
from hub.core.events import AnswerStale
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from hub.core.question import Question
    from hub.core.routes import Route
    from hub.service.ports import Events, Store, WallClock

# A member failed, is absent, or its answer is held. Anything else is the caller's fault or the hub's own choice.
_REPLACEABLE = (AnswerHeld, BadGateway, BackendAbsent, BackendNotReady, BackendUnresponsive, DeadlinePassed)

_MAX_CACHED_BYTES = 64 * 1024 * 1024
_REWRITE_AFTER = 0.1  # Of the maximum age: how old the time in the store may be, so that not each call writes.


class LastGood(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted answer, when it was given last (Unix seconds), and a fingerprint of the route that made it."""

    body: bytes
    count: int
    route_print: str
    given_at_s: float
    written_at_s: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LastGood).decode
_encode_route = msgspec.json.Encoder(order="sorted").encode

# They change nothing about an answer, and answers that older hubs have kept have to stay usable.
_NOT_OF_THE_ANSWER = ("wait_for_busy_s", "max_in_flight", "share_within_s")


class LastGoodAnswers:
    """Keeps them in the store, and those that were needed last in memory."""

    def __init__(self, store: Store, events: Events, clock: WallClock) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._known: OrderedDict[str, LastGood] = OrderedDict()
        self._size_bytes = 0

    async def keep(self, question: Question, route: Route, answer: Answer) -> None:
        """Keep an accepted answer that is about to be given.

        Raises:
            StoreFailed: it could not be written, so the answer must not leave.
        """
        max_age_s = route.trust.stale_max_age_s
        if max_age_s is None:
            return
        key, now_s = records.key(question), self._clock()
        route_print = _print(route)
        known = self._known.get(key)
        if known is not None and known.body == answer.body and known.route_print == route_print:
            kept = msgspec.structs.replace(known, given_at_s=now_s)
            if now_s - known.written_at_s < max_age_s * _REWRITE_AFTER:
                self._put(key, kept)
                return
        kept = LastGood(
            body=answer.body, count=answer.count, route_print=route_print, given_at_s=now_s, written_at_s=now_s
        )
        await self._store.apply([Change(kind=records.LAST_GOOD, key=key, value=_encode(kept))])
        self._put(key, kept)

    async def instead_of(self, error: HubError, question: Question, route: Route) -> Answer:
        """The last accepted answer instead of an error, if the route allows one and there is one.

        Raises:
            HubError: the error itself, if not.
        """
        max_age_s = route.trust.stale_max_age_s
        if max_age_s is None or not isinstance(error, _REPLACEABLE):
            raise error
        try:
            known = await self._find(records.key(question))
        except (StoreDamaged, StoreFailed, StoreLost):
            # The store has said so; what the caller has to know is what happened first.
            raise error from None
        age_s = 0.0 if known is None else self._clock() - known.given_at_s
        if known is None or not 0 <= age_s <= max_age_s or known.route_print != _print(route):
            raise error
        self._events.emit(
            AnswerStale(
                route=route.name,
                application_set_name=question.application_set_name,
                age_s=age_s,
                reason=error.reason,
                message=str(error),
            )
        )
        return Answer(body=known.body, count=known.count, stale_s=age_s)

    async def _find(self, key: str) -> LastGood | None:
        known = self._known.get(key)
        if known is None:
            value = await self._store.get(records.LAST_GOOD, key)
            known = None if value is None else records.read(_decode, records.LAST_GOOD, key, value)
            if known is not None:
                self._put(key, known)
        return known

    def _put(self, key: str, kept: LastGood) -> None:
        before = self._known.pop(key, None)
        self._size_bytes += len(kept.body) - (0 if before is None else len(before.body))
        self._known[key] = kept
        while self._size_bytes > _MAX_CACHED_BYTES and len(self._known) > 1:
            _, dropped = self._known.popitem(last=False)
            self._size_bytes -= len(dropped.body)


def _print(route: Route) -> str:
    fields = msgspec.to_builtins(route)
    for name in _NOT_OF_THE_ANSWER:
        del fields[name]
    return records.digest(_encode_route(fields))

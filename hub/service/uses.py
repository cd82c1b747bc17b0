"""Which questions have a baseline, and when each was asked last.

A request only counts; what that means is worked out, and written, every few minutes and at most once a day for each
question. A question that was asked since the last time is never taken for an unused one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.guard import Subject  # noqa: TC001 - msgspec resolves the types of fields.
from hub.core.uses import Origin, Use, origin, without
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hub.core.guard import GuardPolicy
    from hub.core.question import Question
    from hub.service.ports import Clock, Store, WallClock

_WRITE_AFTER_S = 86400.0  # How old the time in the store may be: not each question writes each time.
_MAX_COUNTED = 10_000  # Questions between two times.
_SLICE = 200  # Questions that are worked out without letting the loop go on.
_NEVER_S = float("-inf")


class _Record(msgspec.Struct, frozen=True):
    """As much of a baseline as says whose it is."""

    subject: Subject


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Use).decode
_decode_subject = msgspec.json.Decoder(_Record).decode


class Policies(Protocol):
    """Knows the guard's settings."""

    def policy(self, route: str) -> GuardPolicy:
        """Those of a route; of one that is not configured, those of the whole file."""
        ...


class _Kept:
    """What is known of one question. ``seen_s`` is on the loop's clock, and of this process only."""

    __slots__ = ("again", "made_at_s", "origin", "seen_s", "subject", "used_at_s", "written_at_s")

    def __init__(self, use: Use, asked: Origin, *, written_at_s: float, seen_s: float) -> None:
        self.subject = use.subject
        self.origin = asked
        self.made_at_s = use.made_at_s
        self.used_at_s = use.used_at_s
        self.again = use.again
        self.written_at_s = written_at_s
        self.seen_s = seen_s

    def record(self) -> bytes:
        return _encode(Use(subject=self.subject, made_at_s=self.made_at_s, used_at_s=self.used_at_s, again=self.again))


class Uses:
    """The questions that have a baseline."""

    def __init__(self, *, store: Store, clock: WallClock, monotonic: Clock, policies: Policies) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._policies = policies
        self._kept: dict[str, _Kept] = {}
        self._names: dict[str, dict[Origin, int]] = {}
        self._origins: dict[Origin, Origin] = {}
        self._counted: dict[Question, int] = {}
        self._unwritten: set[str] = set()
        self.due = asyncio.Event()

    async def open(self) -> None:
        """Read what is kept from before this process started; baselines of older hubs count as used now."""
        now_s = self._clock()
        for key, value in (await self._store.load(records.USES)).items():
            try:
                use = records.read(_decode, records.USES, key, value)
            except StoreDamaged:
                continue  # As if an older hub had not written it.
            self._add(key, use, written_at_s=use.used_at_s)
        for key in await self._store.keys(records.BASELINES):
            if key not in self._kept:
                await self._adopt(key, now_s)

    async def _adopt(self, key: str, now_s: float) -> None:
        value = await self._store.get(records.BASELINES, key)
        try:
            found = records.read(_decode_subject, records.BASELINES, key, value or b"")
        except StoreDamaged:
            return  # Not known, so never dropped: its questions are refused, and say so.
        use = Use(subject=found.subject, made_at_s=now_s, used_at_s=now_s, again=True)
        self._add(key, use, written_at_s=_NEVER_S)
        self._unwritten.add(key)

    def _add(self, key: str, use: Use, *, written_at_s: float, seen_s: float = _NEVER_S) -> None:
        subject = use.subject
        asked = Origin(client=subject.client, route=subject.route, namespace=subject.application_set_namespace)
        asked = self._origins.setdefault(asked, asked)
        if key not in self._kept:
            origins = self._names.setdefault(subject.application_set_name, {})
            origins[asked] = origins.get(asked, 0) + 1
        self._kept[key] = _Kept(use, asked, written_at_s=written_at_s, seen_s=seen_s)

    def count(self, question: Question) -> None:
        """A question is asked."""
        counted = self._counted
        counted[question] = counted.get(question, 0) + 1
        if len(counted) >= _MAX_COUNTED:
            self.due.set()

    def made(self, key: str, question: Question) -> None:
        """A question has got its baseline."""
        now_s = self._clock()
        use = Use(subject=records.subject(question), made_at_s=now_s, used_at_s=now_s)
        self._add(key, use, written_at_s=_NEVER_S, seen_s=self._monotonic())
        self._unwritten.add(key)

    def forget(self, key: str) -> None:
        """A question has no baseline any more."""
        kept = self._kept.pop(key, None)
        self._unwritten.discard(key)
        if kept is None:
            return
        name = kept.subject.application_set_name
        origins = self._names[name]
        origins[kept.origin] -= 1
        if not origins[kept.origin]:
            del origins[kept.origin]
        if not origins:
            del self._names[name]

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def used_at_s(self, key: str) -> float:
        """When a question was asked last, about."""
        return self._kept[key].used_at_s

    def others(self, question: Question) -> list[Origin]:
        """Who else has asked about the same ApplicationSet."""
        return [one for one in self._names.get(question.application_set_name, ()) if one != origin(question)]

    def asked_again(self, key: str) -> bool:
        """Whether a question was asked again after its first answer, as far as that is worked out."""
        kept = self._kept.get(key)
        return kept is not None and kept.again

    async def write(self) -> None:
        """Work out what was asked since the last time, and write what is not known in the store.

        Raises:
            StoreFailed: it could not be written; the next time tries again.
        """
        self.due.clear()
        await self._work_out()
        due = list(self._unwritten)
        for start in range(0, len(due), _SLICE):
            keys = [key for key in due[start : start + _SLICE] if key in self._kept]
            written = {key: self._kept[key].used_at_s for key in keys}
            await self._store.apply(
                [Change(kind=records.USES, key=key, value=self._kept[key].record()) for key in keys]
            )
            self._wrote(written)

    def _wrote(self, written: dict[str, float]) -> None:
        for key, used_at_s in written.items():
            if key in self._kept:
                self._kept[key].written_at_s = used_at_s
                self._unwritten.discard(key)

    async def _work_out(self) -> None:
        counted, self._counted = self._counted, {}
        now_s, seen_s = self._clock(), self._monotonic()
        for number, (question, times) in enumerate(counted.items(), 1):
            self._used(question, times, now_s, seen_s)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def _used(self, question: Question, times: int, now_s: float, seen_s: float) -> None:
        key = records.key(without(question, self._policies.policy(question.route).ignore_inputs))
        kept = self._kept.get(key)
        if kept is None:
            return
        # The time that made it counts once.
        again = kept.again or times > 1 or kept.written_at_s != _NEVER_S
        if again != kept.again or now_s - kept.written_at_s >= _WRITE_AFTER_S:
            self._unwritten.add(key)
        kept.again, kept.used_at_s, kept.seen_s = again, now_s, seen_s

    def unused(self) -> Iterator[str]:
        """Questions that were not asked for as long as their route's guard keeps them, the longest first."""
        now_s, monotonic_s = self._clock(), self._monotonic()
        yield from self._sorted(
            key
            for key, one in self._kept.items()
            if self._idle_s(one, now_s, monotonic_s) > self._policies.policy(one.subject.route).keep_s
        )

    def one_off(self, older_than_s: float) -> Iterator[str]:
        """Questions that were asked once, so long ago, the longest first."""
        now_s, monotonic_s = self._clock(), self._monotonic()
        yield from self._sorted(
            key
            for key, one in self._kept.items()
            if not one.again and self._idle_s(one, now_s, monotonic_s) > older_than_s
        )

    @staticmethod
    def _idle_s(one: _Kept, now_s: float, monotonic_s: float) -> float:
        """For how long it was not asked: both clocks have to say so, because the time of day may jump."""
        return min(now_s - one.used_at_s, monotonic_s - one.seen_s)

    def _sorted(self, keys: Iterable[str]) -> list[str]:
        return sorted(keys, key=self.used_at_s)

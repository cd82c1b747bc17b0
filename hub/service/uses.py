"""Which questions have a baseline, and when each was asked last.

A request only counts; what that means is worked out, and written, every few minutes and at most once a day for each
question. A question that was asked since the last time is never taken for an unused one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.guard import Subject
from hub.core.uses import Origin, Use, origin, without
from hub.service import records
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.core.guard import GuardPolicy
    from hub.core.question import Question
    from hub.service.ports import Clock, Store, WallClock

_WRITE_AFTER_S = 86400.0  # How old the time in the store may be: not each question writes each time.
_MAX_COUNTED = 10_000  # Questions between two times.
_MOST_COUNTED = 5 * _MAX_COUNTED  # From here on, each is worked out at once.
_LONG_INPUT_BYTES = 4096  # The key of such a question takes less memory.
_SLICE = 200  # Questions that are worked out without letting the loop go on.
_LOOKED_AT = 2000  # As above, where less is done with each.
_MAX_CHOSEN = 1000  # That are dropped in one turn.
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
    """What is known of one question, in little memory: its ApplicationSet's name is in its key.

    ``seen_s`` is on the loop's clock, and of this process only.
    """

    __slots__ = ("again", "input_digest", "origin", "seen_s", "used_at_s", "written_at_s")

    def __init__(self, use: Use, asked: Origin, *, written_at_s: float, seen_s: float) -> None:
        self.input_digest = use.subject.input_digest
        self.origin = asked
        self.used_at_s = use.used_at_s
        self.again = use.again
        self.written_at_s = written_at_s
        self.seen_s = seen_s

    def record(self, key: str) -> bytes:
        subject = Subject(
            client=self.origin.client,
            route=self.origin.route,
            application_set_name=records.name_in(key),
            application_set_namespace=self.origin.namespace,
            input_digest=self.input_digest,
        )
        return _encode(Use(subject=subject, used_at_s=self.used_at_s, again=self.again))


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
        self._counted: dict[Question | str, int] = {}
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
        baselines = frozenset(await self._store.keys(records.BASELINES))
        for key in self._kept.keys() - baselines:
            self.forget(key)
        for key in sorted(baselines - self._kept.keys()):
            await self._adopt(key, now_s)

    async def _adopt(self, key: str, now_s: float) -> None:
        value = await self._store.get(records.BASELINES, key)
        try:
            found = records.read(_decode_subject, records.BASELINES, key, value or b"")
        except StoreDamaged:
            return  # Not known, so never dropped: its questions are refused, and say so.
        use = Use(subject=found.subject, used_at_s=now_s, again=True)
        self._add(key, use, written_at_s=_NEVER_S)
        self._unwritten.add(key)

    def _add(self, key: str, use: Use, *, written_at_s: float, seen_s: float = _NEVER_S) -> None:
        subject = use.subject
        asked = Origin(client=subject.client, route=subject.route, namespace=subject.application_set_namespace)
        asked = self._origins.setdefault(asked, asked)
        if key not in self._kept:
            origins = self._names.setdefault(records.name_in(key), {})
            origins[asked] = origins.get(asked, 0) + 1
        self._kept[key] = _Kept(use, asked, written_at_s=written_at_s, seen_s=seen_s)

    def count(self, question: Question) -> None:
        """A question is asked."""
        asked = question if len(question.input_json) < _LONG_INPUT_BYTES else self._key(question)
        counted = self._counted
        counted[asked] = counted.get(asked, 0) + 1
        if len(counted) >= _MAX_COUNTED:
            self.due.set()
            if len(counted) >= _MOST_COUNTED:
                self._used(asked, counted.pop(asked), self._clock(), self._monotonic())

    @property
    def counted(self) -> int:
        """How many questions were asked since the last time."""
        return len(self._counted)

    def _key(self, question: Question) -> str:
        return records.key(without(question, self._policies.policy(question.route).ignore_inputs))

    def made(self, key: str, question: Question) -> None:
        """A question has got its baseline."""
        now_s = self._clock()
        use = Use(subject=records.subject(question), used_at_s=now_s)
        self._add(key, use, written_at_s=_NEVER_S, seen_s=self._monotonic())
        self._unwritten.add(key)

    def forget(self, key: str) -> None:
        """A question has no baseline any more."""
        kept = self._kept.pop(key, None)
        self._unwritten.discard(key)
        if kept is None:
            return
        name = records.name_in(key)
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
        """When a question that is kept was asked last, about."""
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
                [Change(kind=records.USES, key=key, value=self._kept[key].record(key)) for key in keys]
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
        for number, (asked, times) in enumerate(counted.items(), 1):
            self._used(asked, times, now_s, seen_s)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def _used(self, asked: Question | str, times: int, now_s: float, seen_s: float) -> None:
        key = asked if isinstance(asked, str) else self._key(asked)
        kept = self._kept.get(key)
        if kept is None:
            return
        # The time that made it counts once.
        again = kept.again or times > 1 or kept.written_at_s != _NEVER_S
        if again != kept.again or now_s - kept.written_at_s >= _WRITE_AFTER_S:
            self._unwritten.add(key)
        kept.again, kept.used_at_s, kept.seen_s = again, now_s, seen_s

    async def unused(self, most: int) -> list[str]:
        """Up to ``most`` questions that were not asked for as long as their guard keeps them, the longest first."""
        return await self._idle(most, lambda one, idle_s: idle_s > self._policies.policy(one.origin.route).keep_s)

    async def one_off(self, older_than_s: float, most: int) -> list[str]:
        """Up to ``most`` questions that were asked only once, at least that long ago, the longest first."""
        return await self._idle(most, lambda one, idle_s: not one.again and idle_s > older_than_s)

    async def _idle(self, most: int, may_go: Callable[[_Kept, float], bool]) -> list[str]:
        now_s, monotonic_s, most = self._clock(), self._monotonic(), min(most, _MAX_CHOSEN)
        keys, found = list(self._kept), list[tuple[float, str]]()
        for start in range(0, len(keys), _LOOKED_AT):
            for key in keys[start : start + _LOOKED_AT]:
                one = self._kept.get(key)
                # Both clocks have to say so, because the time of day may jump.
                if one is not None and may_go(one, min(now_s - one.used_at_s, monotonic_s - one.seen_s)):
                    found.append((one.used_at_s, key))
            found = sorted(found)[:most]
            await asyncio.sleep(0)
        return [key for _, key in found]

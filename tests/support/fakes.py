"""Fakes that behave: what the use cases need from the outside, small and in memory."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

from hub.core.errors import StoreFailed, StoreLost
from hub.core.events import Event
from hub.service.ports import Ask, Change, NameObserver, RawAnswer, Reachability, Unresolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hub.core.deadline import Deadline
    from hub.core.directory import BackendInfo
    from hub.core.names import HostName

EventT = TypeVar("EventT", bound=Event)


class FakeEvents:
    """Keeps every event, and lets a test wait for the next one of a kind."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed: list[asyncio.Future[None]] = []

    def emit(self, event: Event) -> None:
        self.all.append(event)
        waiting, self._changed = self._changed, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """All events of a kind so far."""
        return [event for event in self.all if isinstance(event, kind)]

    async def first(self, kind: type[EventT], count: int = 1) -> EventT:
        """The event of a kind that makes ``count`` of them; waits for it."""
        while len(self.of(kind)) < count:
            future = asyncio.get_running_loop().create_future()
            self._changed.append(future)
            await future
        return self.of(kind)[count - 1]


def sets(*one: Mapping[str, Any]) -> RawAnswer:
    """A raw answer of these parameter sets."""
    return RawAnswer(sets_json=json.dumps(list(one), separators=(",", ":")).encode())


class FakeLink:
    """An instance that answers as ``behaviour`` says; ``{"from": name}`` by default."""

    def __init__(
        self, name: str = "fake", behaviour: Callable[[Ask, Deadline], Awaitable[RawAnswer]] | None = None
    ) -> None:
        self.name = name
        self.behaviour = behaviour
        self.asks: list[Ask] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0
        self.closed = False

    async def ask(self, ask: Ask, deadline: Deadline) -> RawAnswer:
        self.asks.append(ask)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.behaviour is not None:
                return await self.behaviour(ask, deadline)
            return sets({"from": self.name})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        self.closed = True


class Gate:
    """A behaviour that holds every ask until it is let; ``answers`` are given in turn, then the last for ever."""

    def __init__(self, *answers: RawAnswer | Exception) -> None:
        self._answers = list(answers) or [sets({"a": "1"})]
        self.held: list[asyncio.Future[None]] = []
        self.arrived = asyncio.Event()

    async def __call__(self, _ask: Ask, _deadline: Deadline) -> RawAnswer:
        future = asyncio.get_running_loop().create_future()
        self.held.append(future)
        self.arrived.set()
        await future
        return take(self._answers)

    def open_one(self) -> None:
        """Let the ask that came first among those held."""
        waiting = next(future for future in self.held if not future.done())
        waiting.set_result(None)


class Says:
    """A behaviour that says one thing after another, then the last for ever."""

    def __init__(self, *answers: RawAnswer | Exception) -> None:
        self._answers = list(answers)

    async def __call__(self, _ask: Ask, _deadline: Deadline) -> RawAnswer:
        return take(self._answers)


async def never(_ask: Ask, _deadline: Deadline) -> RawAnswer:
    """A behaviour that never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def take(answers: list[RawAnswer | Exception]) -> RawAnswer:
    """The next answer, raised if it is an error; the last one stays."""
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


class FakeStore:
    """A store in memory that can be told to fail, or to take its time."""

    def __init__(self, *, lasting: bool = True, values: Mapping[str, bytes] | None = None) -> None:
        self.lasting = lasting
        self.values: dict[tuple[str, str], bytes] = {("claims", key): value for key, value in (values or {}).items()}
        self.failing = False
        self.lost = False
        self.gate: asyncio.Event | None = None
        self.applied = 0
        self.waiting = asyncio.Event()
        self.read = 0
        self.pruned = 0

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        return {key: value for (of, key), value in self.values.items() if of == kind and key.startswith(prefix)}

    async def get(self, kind: str, key: str) -> bytes | None:
        self.read += 1
        return self.values.get((kind, key))

    async def keys(self, kind: str) -> Sequence[str]:
        return [key for of, key in self.values if of == kind]

    async def has(self, kind: str, prefix: str) -> bool:
        self.read += 1
        if self.failing:
            raise StoreFailed("the hub's store cannot be read or written; its log says why")
        return any(of == kind and key.startswith(prefix) for of, key in self.values)

    async def prune(self, kinds: Sequence[str], keep: int) -> None:
        if self.failing:
            raise StoreFailed("the hub's store cannot be read or written; its log says why")
        latest = list(dict.fromkeys(key for of, key in reversed(self.values) if of in kinds))
        self.values = {of: value for of, value in self.values.items() if of[0] not in kinds or of[1] in latest[:keep]}
        self.pruned += 1

    async def verify(self) -> None:
        if self.lost:
            raise StoreLost("the file of the hub's store was deleted")

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.failing:
            raise StoreFailed("the hub's store cannot be read or written; its log says why")
        self.applied += 1
        for change in changes:
            self.values.pop((change.kind, change.key), None)
            if change.value is not None:
                self.values[change.kind, change.key] = change.value


class FakeDialler:
    """Remembers whom it dialled, by address, so that a test can say when the connection comes and goes."""

    def __init__(self) -> None:
        self.links: dict[str, FakeLink] = {}
        self.observers: dict[str, Reachability] = {}
        self.infos: dict[str, BackendInfo] = {}

    def dial(self, info: BackendInfo, address: str, observer: Reachability, endpoint: str = "") -> FakeLink:
        where = endpoint or address
        link = FakeLink(where)
        self.links[where], self.observers[where], self.infos[where] = link, observer, info
        return link

    def reach(self, address: str, *, yes: bool = True) -> None:
        """Say that the instance behind an address can be reached, or no longer."""
        self.observers[address].reachable(yes=yes)


class FakeResolver:
    """Knows the addresses of names, as ``host:port``; a name that it does not know cannot be resolved."""

    def __init__(self, known: Mapping[str, tuple[str, ...]]) -> None:
        self.known = dict(known)
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def resolve(self, name: HostName) -> tuple[str, ...]:
        self.asked.append(str(name))
        if self.gate is not None:
            await self.gate.wait()
        if str(name) not in self.known:
            raise Unresolved("Name or service not known")
        return self.known[str(name)]


class NoNames:
    """Takes every address as it is."""

    def follow(self, _address: str, _observer: NameObserver) -> None:
        return None


class FakeSchemas:
    """Knows ``required`` and nothing else of JSON Schema."""

    async def refusal(self, schema_json: bytes, parameters: Mapping[str, Any], _input_json: bytes) -> str:
        missing = [key for key in json.loads(schema_json)["required"] if key not in parameters]
        return f"$: {missing[0]} is missing" if missing else ""

    async def problem(self, schema_json: bytes) -> str:
        return "" if "required" in json.loads(schema_json) else "it requires nothing"

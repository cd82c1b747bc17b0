"""What the use cases need from the outside, as they need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hub.core.answer import Notice
    from hub.core.deadline import Deadline
    from hub.core.directory import BackendInfo
    from hub.core.events import Event
    from hub.core.names import HostName


T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question on its way to one backend."""

    application_set_name: str
    application_set_namespace: str
    input_json: bytes
    request_id: str
    traceparent: str = ""
    known_digest: str = ""


class RawAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend answered, not yet checked. ``fresh_for_s`` is what it asks for, in seconds, if it does."""

    sets_json: bytes
    digest: str = ""
    not_modified: bool = False
    fresh_for_s: float | None = None
    notices: tuple[Notice, ...] = ()


class AskError(Exception):
    """An ask that brought no answer. Never raised itself."""


class InstanceLost(AskError):
    """The connection to the instance broke: another one may be asked."""


class Unresponsive(InstanceLost):
    """The instance answers nothing, not even a health check, although something listens at its address."""


class NotReady(AskError):
    """The backend cannot answer yet. Its text is for the caller; ``retry_after_s`` is when it may, if it says."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class InvalidInput(AskError):
    """The backend refuses the input. Its text is for the caller."""


class TimedOut(AskError):
    """The backend gave up, because the deadline passed."""


class TooLarge(AskError):
    """The answer or the question is larger than one side accepts. Its text is for the caller."""


class Broken(AskError):
    """The backend failed, or broke the protocol. Its text is for the log only."""


class Fatal(Exception):
    """The process cannot go on: the text says why. Its supervisor ends it."""


class WorkLost(Exception):
    """Work in another process ended without a result. The text says how."""


class WorkNotStarted(WorkLost):
    """There is no process for the work."""


class Apart(Protocol):
    """Where work is done that would stop everything else."""

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:
        """What ``work`` returns: a function of a module with arguments that another process can be given.

        Raises:
            WorkNotStarted: there is no process for it.
            WorkLost: it did not come to an end, or not within that time from its start.
            Exception: what ``work`` raises.
        """
        ...


class Link(Protocol):
    """How one instance is asked."""

    async def ask(self, ask: Ask, deadline: Deadline) -> RawAnswer:
        """Ask, and wait for the answer; cancelling this call tells the instance that nobody waits any more.

        Raises:
            AskError: there is no answer.
        """
        ...

    def close(self) -> None:
        """Ask no more; what is in flight ends first."""
        ...


class Dialler(Protocol):
    """Makes links to instances that the hub calls."""

    def dial(self, info: BackendInfo, address: str, observer: Reachability, endpoint: str = "") -> Link:
        """Start to connect, and tell ``observer`` whenever the connection comes or goes.

        Args:
            info: whose instance.
            address: as it was configured or registered: what a certificate must be for.
            observer: who wants to know.
            endpoint: the address behind that name to connect to; empty: ``address`` itself.
        """
        ...


class Reachability(Protocol):
    """Who wants to know whether a dialled instance can be reached."""

    def reachable(self, *, yes: bool) -> None:
        """It can be reached from now on, or no longer."""
        ...

    def unresponsive(self) -> None:
        """It is connected, but answers nothing from now on, until it is ``reachable`` again."""
        ...


class Unresolved(Exception):
    """A lookup brought no address; the text says why, the same for the same fault."""


class Resolver(Protocol):
    """Looks up host names."""

    async def resolve(self, name: HostName) -> tuple[str, ...]:
        """The addresses behind a name, each with the port, in the resolver's order and at least one.

        Raises:
            Unresolved: there is none, or it could not be found out.
        """
        ...


class NameObserver(Protocol):
    """Who uses the addresses behind a name."""

    @property
    def standing(self) -> Literal["all", "some", "none"]:
        """How many of the addresses in use can be reached."""
        ...

    def found(self, endpoints: tuple[str, ...]) -> None:
        """These are the addresses behind the name now."""
        ...

    def unresolved(self, reason: str) -> None:
        """A lookup failed: what was known before still counts."""
        ...


class Following(Protocol):
    """A name that is looked up again and again."""

    def hurry(self) -> None:
        """Look it up soon: one of its addresses has failed."""
        ...

    def close(self) -> None:
        """Look it up no more."""
        ...


class Names(Protocol):
    """Follows names."""

    def follow(self, address: str, observer: NameObserver) -> Following | None:
        """Look up the name in an address from now on; ``None`` if there is none, and it is dialled as it is."""
        ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One write: a value under a key, or no longer (``None``)."""

    kind: str
    key: str
    value: bytes | None


class Store(Protocol):
    """What has to last: small values under a kind and a key."""

    @property
    def lasting(self) -> bool:
        """Whether what is written outlives this process."""
        ...

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        """All values of a kind whose key starts with ``prefix``, by key, the one written last at the end.

        Raises:
            StoreFailed: they cannot be read.
        """
        ...

    async def get(self, kind: str, key: str) -> bytes | None:
        """One value, or ``None`` if there is none.

        Raises:
            StoreFailed: it cannot be read.
        """
        ...

    async def keys(self, kind: str) -> Sequence[str]:
        """All keys of a kind, in no order.

        Raises:
            StoreFailed: they cannot be read.
        """
        ...

    async def has(self, kind: str, prefix: str) -> bool:
        """Whether there is any value of a kind whose key starts with ``prefix``.

        Raises:
            StoreFailed: it cannot be read.
        """
        ...

    async def verify(self) -> None:
        """Find out whether what is written now would still be there after a restart.

        Raises:
            StoreLost: it would not.
        """
        ...

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes, or none of them; they last when this returns.

        Raises:
            StoreFailed: they could not be written.
            StoreLost: they would not last.
        """
        ...


class Pruning(Protocol):
    """How what lasts stays bounded."""

    async def prune(self, kinds: Sequence[str], keep: int) -> None:
        """Drop all values of some kinds, but those under the ``keep`` keys to which any of them was written last.

        Raises:
            StoreFailed: it could not be done.
        """
        ...


class WallClock(Protocol):
    """The time of day, for what outlives this process."""

    def __call__(self) -> float:
        """Now, in Unix seconds."""
        ...


class Schemas(Protocol):
    """Checks inputs against the JSON Schemas of backends."""

    async def refusal(self, schema_json: bytes, parameters: Mapping[str, Any], input_json: bytes) -> str:
        """Why an input does not fit, with its path; empty when it does. ``input_json`` is its canonical text.

        Raises:
            WorkNotStarted: it cannot be checked now.
            WorkLost: checking it exceeds a limit.
        """
        ...

    async def problem(self, schema_json: bytes) -> str:
        """Why this cannot be used as a schema; empty when it can.

        Raises:
            WorkNotStarted: it cannot be checked now.
        """
        ...


class Events(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Take one event; never raises, never waits."""
        ...


class Clock(Protocol):
    """The loop's monotonic clock."""

    def __call__(self) -> float:
        """Now, in seconds."""
        ...

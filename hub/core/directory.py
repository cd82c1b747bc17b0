"""Who is here.

A plain state machine: nothing goes out. Names last, instances do not: an instance that goes
away takes nothing out of any route, because only an operator removes a member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from hub.core.addresses import admits
from hub.core.patterns import matcher, without_overlap
from hub.core.routes import Claim, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from hub.core.addresses import Target

LinkT = TypeVar("LinkT")

Kind = Literal["attached", "registered", "configured"]
State = Literal["ready", "absent", "unresponsive", "leaving"]

STATES: tuple[State, ...] = ("ready", "absent", "unresponsive", "leaving")

MAX_PATTERNS = 1000  # In the lasting claim of one backend.


class BackendInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says of itself. ``application_sets`` is its claim, ``unique_by`` the keys of its sets."""

    name: str
    instance: str
    version: str = ""
    application_sets: tuple[str, ...] = ()
    input_schema_json: bytes = b""
    max_in_flight: int = 0
    unique_by: tuple[str, ...] = ()


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration allows a backend: names that it may claim, and addresses that it may register.

    ``unique_by`` are the keys that the configuration says identify its sets.
    ``expected``: until it has connected for the first time, it may claim any name that its grant covers.
    """

    backend: str
    application_sets: tuple[str, ...] = ("*",)
    addresses: tuple[str, ...] = ()
    configured_address: str = ""
    unique_by: tuple[str, ...] = ()
    expected: bool = True

    def allows_address(self, target: Target) -> bool:
        """Whether the hub may dial this address for the backend."""
        return admits(self.addresses, target)


class Instance(Generic[LinkT]):
    """One process of a backend, or one address of it; ``link`` is how it is asked.

    ``address`` is as it was configured or registered. If it is a name, ``endpoint`` is one of the addresses behind it.
    ``problem`` is what an operator should know of it, in a few words.
    """

    __slots__ = (
        "_claims",
        "address",
        "endpoint",
        "in_flight",
        "info",
        "kind",
        "link",
        "max_in_flight",
        "name",
        "problem",
        "state",
    )

    def __init__(  # noqa: PLR0913 - the fields of a record, each of them named at the call
        self,
        *,
        info: BackendInfo,
        kind: Kind,
        link: LinkT,
        max_in_flight: int,
        state: State = "ready",
        address: str = "",
        endpoint: str = "",
    ) -> None:
        self.info = info
        self.name = f"{info.instance} ({endpoint})" if endpoint else info.instance
        self.kind = kind
        self.link = link
        self.max_in_flight = max_in_flight
        self.state: State = state
        self.address = address
        self.endpoint = endpoint
        self.problem = ""
        self.in_flight = 0
        self._claims = tuple(matcher(pattern) for pattern in info.application_sets)

    def claims(self, name: str) -> bool:
        """Whether this instance itself claims the name."""
        return any(matches(name) for matches in self._claims)

    @property
    def free(self) -> bool:
        """Whether it can be asked now."""
        return self.state == "ready" and self.in_flight < self.max_in_flight


class Directory(Generic[LinkT]):
    """All backends that the configuration knows, what they claim, and their instances."""

    def __init__(
        self,
        grants: Iterable[Grant],
        claims: Mapping[str, tuple[str, ...]],
        *,
        lasting: bool,
        seen: Collection[str] = (),
        others: Callable[[str], Grant] | None = None,
    ) -> None:
        """Start with what the configuration grants and what the store remembers.

        Args:
            grants: of all configured backends.
            claims: what backends had claimed before.
            lasting: whether the store outlives this process.
            seen: backends that have connected before, or that an operator has forgotten.
            others: the grant of a backend that is not configured; only a hub for development has that.
        """
        self._lasting = lasting
        self._others = others
        self._registered: dict[str, tuple[str, ...]] = dict(claims)
        self._seen = {*seen, *claims}
        self._instances: dict[str, dict[tuple[str, str, str], Instance[LinkT]]] = {}
        self._schemas: dict[str, bytes] = {}
        self._ignored: dict[str, tuple[str, ...]] = {}
        self._unique_by: dict[str, tuple[str, ...]] = {}
        self.set_grants(grants)

    def set_grants(self, grants: Iterable[Grant]) -> None:
        """Take what the configuration grants now."""
        self._grants = {grant.backend: grant for grant in grants}
        self._ignored.clear()

    def grant(self, backend: str) -> Grant | None:
        """What a backend may do, or ``None`` if the configuration does not know it."""
        if backend not in self._grants and self._others is not None:
            self._grants[backend] = self._others(backend)
        return self._grants.get(backend)

    @property
    def backends(self) -> list[str]:
        """The names of all configured backends, sorted."""
        return sorted(self._grants)

    def claims(self) -> Iterator[Claim]:
        """Every claim that counts: registered ones, and those of backends with a configured address."""
        for backend, grant in self._grants.items():
            if grant.configured_address:
                patterns = grant.application_sets
                yield Claim(backend=backend, patterns=patterns, granted=patterns, lasting=True)
            elif registered := self._registered.get(backend):
                yield Claim(backend=backend, patterns=registered, granted=grant.application_sets, lasting=self._lasting)

    def seen(self, backend: str) -> bool:
        """Whether the backend has connected before, or an operator has forgotten it."""
        return backend in self._seen

    def set_seen(self, backend: str) -> None:
        """From now on the backend's own claim is all that it may serve."""
        self._seen.add(backend)

    def unseen(self) -> Iterator[Unseen]:
        """The configured backends that are expected and have never connected; the claim of a dialled one is known."""
        for backend, grant in self._grants.items():
            if grant.expected and not grant.configured_address and grant.application_sets and not self.seen(backend):
                yield Unseen(backend=backend, granted=grant.application_sets)

    def registered_claim(self, backend: str) -> tuple[str, ...]:
        """All patterns that instances of this backend have claimed since it was last forgotten."""
        return self._registered.get(backend, ())

    def widened_claim(self, info: BackendInfo) -> tuple[str, ...]:
        """The backend's lasting claim with this instance's patterns added; it only grows, until it is forgotten."""
        known = self.registered_claim(info.name)
        return known + tuple(dict.fromkeys(pattern for pattern in info.application_sets if pattern not in known))

    def set_claim(self, backend: str, patterns: tuple[str, ...]) -> None:
        """Take a backend's lasting claim; an empty one forgets it."""
        self._ignored.pop(backend, None)
        if patterns:
            self._registered[backend] = patterns
        else:
            self._registered.pop(backend, None)

    def ignored_claim(self, backend: str) -> tuple[str, ...]:
        """The patterns of the backend's lasting claim that can never count: its grant has no name that they match.

        A pattern that is partly inside the grant, such as ``*`` under ``fb-*``, is not ignored.
        """
        if backend not in self._ignored:
            grant = self.grant(backend)
            granted = () if grant is None else grant.application_sets
            self._ignored[backend] = without_overlap(self.registered_claim(backend), granted)
        return self._ignored[backend]

    def ignored_counts(self) -> Iterator[tuple[str, int]]:
        """For each configured backend: how many of its claimed patterns can never count."""
        return ((backend, len(self.ignored_claim(backend))) for backend in self._grants)

    def current_claim(self, backend: str) -> tuple[str, ...]:
        """What the instances that are here now claim."""
        return tuple(dict.fromkeys(pattern for one in self.instances(backend) for pattern in one.info.application_sets))

    def instances(self, backend: str) -> list[Instance[LinkT]]:
        """A backend's instances, in the order in which they came."""
        return list(self._instances.get(backend, {}).values())

    def schema(self, backend: str) -> bytes:
        """The JSON Schema of a backend's input, as the instance that came last gave it; empty if it gave none."""
        return self._schemas.get(backend, b"")

    def unique_by(self, backend: str) -> tuple[str, ...]:
        """The keys that a backend declares for its sets: those of the last instance that declared some.

        One that declares none takes them back only if no other instance that is here declares some. While a new
        version replaces an old one, the order in which they connect must not change what a set is.
        """
        return self._unique_by.get(backend, ())

    def _declare(self, backend: str, unique_by: tuple[str, ...]) -> None:
        if unique_by or not any(one.info.unique_by for one in self.instances(backend)):
            self._unique_by[backend] = unique_by

    def find(self, backend: str, instance: str) -> Instance[LinkT] | None:
        """The instance that came under this id, or ``None``; never one of the addresses behind a registered name."""
        return self._instances.get(backend, {}).get(("came", instance, ""))

    def join(self, instance: Instance[LinkT]) -> Instance[LinkT] | None:
        """Add an instance; returns the one of the same id that it replaces."""
        siblings = self._instances.setdefault(instance.info.name, {})
        replaced = siblings.pop(_key(instance), None)
        siblings[_key(instance)] = instance
        if instance.kind != "configured":
            self._schemas[instance.info.name] = instance.info.input_schema_json
            self._declare(instance.info.name, instance.info.unique_by)
        return replaced

    def leave(self, instance: Instance[LinkT]) -> bool:
        """Remove an instance; false if it was not there, or another one has its id by now."""
        siblings = self._instances.get(instance.info.name, {})
        if siblings.get(_key(instance)) is not instance:
            return False
        del siblings[_key(instance)]
        return True

    def pick(self, backend: str, claimed_name: str | None, avoid: Instance[LinkT] | None) -> Instance[LinkT] | None:
        """The instance with the least in flight among those that can be asked now.

        Args:
            backend: whose instance.
            claimed_name: only instances that claim this name themselves; ``None`` for a configured route.
            avoid: taken only if there is no other.
        """
        best: Instance[LinkT] | None = None
        for one in self._instances.get(backend, {}).values():
            if not one.free or (claimed_name is not None and not self._serves(one, claimed_name)):
                continue
            if best is None or best is avoid or (one is not avoid and one.in_flight < best.in_flight):
                best = one
        return best

    def present(self, backend: str, claimed_name: str | None) -> bool:
        """Whether there is an instance that could be asked if it were not busy."""
        return any(
            one.state == "ready" and (claimed_name is None or self._serves(one, claimed_name))
            for one in self._instances.get(backend, {}).values()
        )

    def unresponsive(self, backend: str) -> bool:
        """Whether the backend has an instance that answers nothing, although something listens at its address."""
        return any(one.state == "unresponsive" for one in self._instances.get(backend, {}).values())

    def _serves(self, one: Instance[LinkT], name: str) -> bool:
        return one.kind == "configured" or one.claims(name)

    def counts(self) -> Iterator[tuple[str, State, int]]:
        """For each configured backend and each state: how many instances."""
        for backend in self._grants:
            states = [one.state for one in self._instances.get(backend, {}).values()]
            for state in STATES:
                yield backend, state, states.count(state)

    def __iter__(self) -> Iterator[Instance[LinkT]]:
        return (one for siblings in self._instances.values() for one in siblings.values())


def _key(instance: Instance[Any]) -> tuple[str, str, str]:
    """Where an instance is kept: no process takes the place of a configured address by calling itself so."""
    if instance.kind == "configured":
        return "configured", instance.address, instance.endpoint
    return "came", instance.info.instance, instance.endpoint

"""One address that the hub connects to, and the instances behind it: one for each address that its name resolves to.

An address that DNS no longer lists is asked no more, but a lookup that fails or brings nothing takes none away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn, Protocol

from hub.core.directory import Instance
from hub.core.events import AddressesChanged, AddressesForbidden, NameResolved, NameUnresolved
from hub.service.ports import InstanceLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.core.deadline import Deadline
    from hub.core.directory import BackendInfo, Kind
    from hub.service.ports import Ask, Dialler, Events, Following, Link, Names

    Admits = Callable[[str], bool]

_NOT_LISTED = "DNS no longer lists its address"
_AT_ONCE = 25  # New addresses in one step: a channel with the system's CAs takes the loop a millisecond.
_MOST_TOLD = 10  # Forbidden addresses in one event.
_UNKNOWN = ""  # The endpoint of the instance that is there until a name resolves.


def any_endpoint(_endpoint: str) -> bool:
    """What the configuration itself names may resolve to anything."""
    return True


class Roster(Protocol):
    """Where instances are added and removed."""

    def join(self, instance: Instance[Link]) -> None:
        """Add an instance; the one whose place it takes is closed."""
        ...

    def leave(self, instance: Instance[Link], cause: str) -> None:
        """Remove an instance."""
        ...

    def drop(self, instance: Instance[Link]) -> None:
        """Remove an instance that could never be asked, without a word."""
        ...

    def reached(self, instance: Instance[Link], *, yes: bool) -> None:
        """It can be asked from now on, or no longer."""
        ...

    def unresponsive(self, instance: Instance[Link]) -> None:
        """It answers nothing from now on."""
        ...


class Dialled:
    """A configured address, or a registered one with its lease."""

    def __init__(  # noqa: PLR0913 - the fields of a record and its collaborators, each of them named at the call
        self,
        *,
        info: BackendInfo,
        address: str,
        kind: Kind,
        max_in_flight: int,
        max_addresses: int,
        roster: Roster,
        dialler: Dialler,
        events: Events,
        expires_s: float | None = None,
        admits: Admits = any_endpoint,
    ) -> None:
        """``admits`` says whether the hub may connect to an address behind the name."""
        self.info = info
        self.address = address
        self.kind: Kind = kind
        self.expires_s = expires_s
        self._max_in_flight = max_in_flight
        self._max_addresses = max_addresses
        self._roster = roster
        self._dialler = dialler
        self._events = events
        self._admits = admits
        self._forbidden: tuple[str, ...] = ()
        self._following: Following | None = None
        self._instances: dict[str, Instance[Link]] = {}
        self._going: set[str] = set()
        self._ignored = 0
        self._reason = ""

    def start(self, names: Names) -> None:
        """Connect; if the address is a name, as soon as it resolves."""
        self._following = names.follow(self.address, self)
        if self._following is None:
            self._dial(_UNKNOWN)
        else:
            self._join(_UNKNOWN, _Nowhere())

    def end(self, cause: str) -> None:
        """Ask no more; what is in flight ends first."""
        if self._following is not None:
            self._following.close()
        for endpoint in list(self._instances):
            self._leave(endpoint, cause)

    def redial(self) -> None:
        """Connect again, with what the configuration says now; what is in flight ends on the old connections."""
        for endpoint, instance in list(self._instances.items()):
            if endpoint in self._going:
                self._leave(endpoint, _NOT_LISTED)
            elif not isinstance(instance.link, _Nowhere):
                self._dial(endpoint)

    @property
    def standing(self) -> Literal["all", "some", "none"]:
        """How many of the addresses that DNS lists can be reached."""
        ready = [one.state == "ready" for endpoint, one in self._instances.items() if endpoint not in self._going]
        return "none" if not any(ready) else "all" if all(ready) else "some"

    def found(self, endpoints: tuple[str, ...]) -> None:
        """Connect to what is new behind the name, and ask no more what is gone."""
        endpoints = self._admitted(endpoints)
        if not endpoints:
            self.unresolved("it resolves only to addresses that the hub's configuration does not allow")
            return
        self._tell_resolved()
        listed = set(endpoints)
        # Those that are in use stay: a DNS server may list the same addresses in another order each time.
        used = [one for one in self._instances if one in listed]
        used = [*used, *(one for one in dict.fromkeys(endpoints) if one not in self._instances)][: self._max_addresses]
        added = [one for one in used if one not in self._instances]
        if len(added) > _AT_ONCE and self._following is not None:
            del added[_AT_ONCE:]
            self._following.hurry()  # The rest follows in a second.
        removed = [one for one in self._instances if one not in used and one not in self._going and one != _UNKNOWN]
        ignored = len(listed) - len(used)
        self._going.difference_update(used)
        for endpoint in added:
            self._dial(endpoint)
        if _UNKNOWN in self._instances:
            self._roster.drop(self._instances.pop(_UNKNOWN))
        if added or removed or ignored != self._ignored:
            self._tell_changed(added, removed, ignored)
        self._going.update(removed)
        self._retire()

    def _admitted(self, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        admitted = tuple(endpoint for endpoint in endpoints if self._admits(endpoint))
        forbidden = tuple(sorted({endpoint for endpoint in endpoints if endpoint not in admitted}))
        if forbidden and forbidden != self._forbidden:
            self._events.emit(
                AddressesForbidden(backend=self.info.name, name=self.address, endpoints=forbidden[:_MOST_TOLD])
            )
        self._forbidden = forbidden
        return admitted

    def unresolved(self, reason: str) -> None:
        """Keep what is known, and say why."""
        news, self._reason = reason != self._reason, reason
        for instance in self._instances.values():
            instance.problem = f'cannot look up "{self.address}": {reason}'
        kept = len(self._instances) - (_UNKNOWN in self._instances)
        name = self.info.name
        self._events.emit(NameUnresolved(backend=name, name=self.address, reason=reason, kept=kept, news=news))

    def reached(self, instance: Instance[Link], *, yes: bool) -> None:
        """An instance can be asked from now on, or no longer."""
        self._roster.reached(instance, yes=yes)
        self._reconsider(yes=yes)

    def unresponsive(self, instance: Instance[Link]) -> None:
        """An instance answers nothing from now on."""
        self._roster.unresponsive(instance)
        self._reconsider(yes=False)

    def _reconsider(self, *, yes: bool) -> None:
        self._retire()
        if not yes and self._following is not None:
            self._following.hurry()

    def _retire(self) -> None:
        """Leave the addresses that DNS no longer lists.

        One that still works is asked until another one can be: no question fails because a new process starts slowly.
        It is not connected to again, because by then its address may belong to someone else.
        """
        replaced = self.standing != "none"
        for endpoint in list(self._going):
            if replaced or self._instances[endpoint].state != "ready":
                self._leave(endpoint, _NOT_LISTED)

    def _leave(self, endpoint: str, cause: str) -> None:
        self._going.discard(endpoint)
        instance = self._instances.pop(endpoint)
        if isinstance(instance.link, _Nowhere):
            self._roster.drop(instance)
        else:
            self._roster.leave(instance, cause)

    def _dial(self, endpoint: str) -> None:
        watch = _Watch(self)
        watch.instance = self._join(endpoint, self._dialler.dial(self.info, self.address, watch, endpoint))

    def _join(self, endpoint: str, link: Link) -> Instance[Link]:
        instance: Instance[Link] = Instance(
            info=self.info,
            kind=self.kind,
            link=link,
            max_in_flight=self._max_in_flight,
            state="absent",
            address=self.address,
            endpoint=endpoint,
        )
        self._instances[endpoint] = instance
        self._roster.join(instance)
        return instance

    def _tell_resolved(self) -> None:
        if self._reason:
            self._reason = ""
            for instance in self._instances.values():
                instance.problem = ""
            self._events.emit(NameResolved(backend=self.info.name, name=self.address))

    def _tell_changed(self, added: list[str], removed: list[str], ignored: int) -> None:
        self._ignored = ignored
        self._events.emit(
            AddressesChanged(
                backend=self.info.name,
                name=self.address,
                added=tuple(added),
                removed=tuple(removed),
                ignored=ignored,
            )
        )


class _Watch:
    """Passes on what a link says of its connection."""

    __slots__ = ("_dialled", "instance")

    def __init__(self, dialled: Dialled) -> None:
        self._dialled = dialled
        self.instance: Instance[Link] | None = None

    def reachable(self, *, yes: bool) -> None:
        if self.instance is not None:
            self._dialled.reached(self.instance, yes=yes)

    def unresponsive(self) -> None:
        if self.instance is not None:
            self._dialled.unresponsive(self.instance)


class _Nowhere:
    """The link of an instance whose address is not known yet."""

    async def ask(self, _ask: Ask, _deadline: Deadline) -> NoReturn:
        raise InstanceLost("its name has not been resolved yet")

    def close(self) -> None:
        """Nothing to close."""

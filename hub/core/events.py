"""What happens in the hub that an operator may want to see: each event is a value, declared here and nowhere else.

The rooms say what happened; telemetry decides what becomes a metric and what a log line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.answer import Notice  # noqa: TC001 - its schema is described.

if TYPE_CHECKING:
    from hub.core.directory import Kind


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""


class RequestEnded(Event, frozen=True, kw_only=True):
    """An HTTP request for parameters was answered, well or not.

    ``route`` is empty until one was found; ``reason`` is empty for a 200.
    """

    status: int
    duration_s: float
    request_id: str
    route: str = ""
    client: str = ""
    application_set_name: str = ""
    sets: int = 0
    reason: str = ""
    message: str = ""


class BackendAsked(Event, frozen=True, kw_only=True):
    """One ask of one backend ended; ``outcome`` is ``ok``, ``cancelled`` or the reason of the refusal.

    ``checked`` says how its answer passed the check, if it did: read anew, equal to the one before, or said to be so
    by the backend. ``instances`` are those that were asked, in order.
    """

    backend: str
    outcome: str
    duration_s: float
    checked: Literal["", "read", "same", "not_modified"] = ""
    instances: tuple[str, ...] = ()
    application_set_name: str = ""
    request_id: str = ""


class QuestionSpared(Event, frozen=True, kw_only=True):
    """A question got its last error again, and its backend was not asked: it fails all questions just now."""

    backend: str


class BreakerMoved(Event, frozen=True, kw_only=True):
    """Questions that failed are spared from now on, because the backend fails one after the other; or no more."""

    backend: str
    is_open: bool


class AskRetried(Event, frozen=True, kw_only=True):
    """An instance was lost, or not ready, and another one is asked."""

    backend: str
    instance: str
    cause: str


class AnswerNoticed(Event, frozen=True, kw_only=True):
    """Something risky in an answer that was sent all the same."""

    backend: str
    route: str
    application_set_name: str
    notice: Notice


class AnswerCached(Event, frozen=True, kw_only=True):
    """A fresh answer was given again without asking."""


class AnswerStale(Event, frozen=True, kw_only=True):
    """The last accepted answer stood in for an error. ``reason`` and ``message`` are the error's."""

    route: str
    application_set_name: str
    age_s: float
    reason: str
    message: str


class AnswerHeldBack(Event, frozen=True, kw_only=True):
    """The guard held an answer: ``went`` of ``before`` sets are missing, and ``changed`` have other values.

    ``limit`` is what that exceeds.
    """

    route: str
    held_id: str
    went: int
    before: int
    limit: str
    changed: int = 0


class DropObserved(Event, frozen=True, kw_only=True):
    """The guard would have held an answer for this ``limit``, but only observes this route.

    The numbers are as for ``AnswerHeldBack``.
    """

    route: str
    went: int
    before: int
    limit: str
    changed: int = 0


class AnswerReleased(Event, frozen=True, kw_only=True):
    """An answer that was held is accepted, because an operator said so or it stayed the same for long enough."""

    route: str
    held_id: str
    how: str


class HeldDecided(Event, frozen=True, kw_only=True):
    """An operator decided about a held answer."""

    held_id: str
    decision: str
    who: str


class RouteFrozen(Event, frozen=True, kw_only=True):
    """An operator froze a route; an empty ``route`` is all of them."""

    route: str
    reason: str
    who: str


class FreezeLifted(Event, frozen=True, kw_only=True):
    """An operator lifted a freeze; an empty ``route`` is the freeze of all routes."""

    route: str
    who: str


class BaselineInherited(Event, frozen=True, kw_only=True):
    """A question without a baseline took over that of the same question as it was asked before.

    ``client``, ``from_route`` and ``namespace`` say who asked it then; ``how`` is ``copy`` or ``move``.
    """

    route: str
    application_set_name: str
    client: str
    from_route: str
    namespace: str
    how: str


class BaselinesOverLimit(Event, frozen=True, kw_only=True):
    """More questions have a baseline than the limit, and none may be dropped; at ``bound``, new ones are refused."""

    kept: int
    limit: int
    bound: int


class BaselinesWithinLimit(Event, frozen=True, kw_only=True):
    """No more questions have a baseline than the limit, as before."""

    kept: int
    limit: int


class InputVaries(Event, frozen=True, kw_only=True):
    """The questions about a name differ in one input each time, so that there is never a baseline."""

    route: str
    application_set_name: str
    key: str
    values: int


class KeysTaught(Event, frozen=True, kw_only=True):
    """An operator said which keys identify the sets of a route or a backend."""

    kind: Literal["route", "backend"]
    name: str
    keys: tuple[str, ...]
    who: str


class KeysForgotten(Event, frozen=True, kw_only=True):
    """An operator took back which keys identify the sets of a route or a backend."""

    kind: Literal["route", "backend"]
    name: str
    keys: tuple[str, ...]
    who: str


class BackendFailure(Event, frozen=True, kw_only=True):
    """The details of a failure that the caller is not told."""

    backend: str
    application_set_name: str
    request_id: str
    detail: str


class SchemaExceeded(Event, frozen=True, kw_only=True):
    """Checking an input against a backend's schema exceeded a limit; ``detail`` says which."""

    backend: str
    application_set_name: str
    detail: str


class InstanceJoined(Event, frozen=True, kw_only=True):
    """An instance can be asked from now on."""

    backend: str
    instance: str
    kind: Kind
    version: str = ""
    address: str = ""


class InstanceLeft(Event, frozen=True, kw_only=True):
    """An instance can be asked no longer."""

    backend: str
    instance: str
    kind: Kind
    cause: str


class InstanceUnresponsive(Event, frozen=True, kw_only=True):
    """A dialled instance is not asked until it answers again: it has answered nothing, not even a health check."""

    backend: str
    instance: str
    kind: Kind


class AddressesChanged(Event, frozen=True, kw_only=True):
    """The name of a dialled backend resolves to other addresses than before.

    ``ignored`` is how many of them are not used, because there are more than the configuration allows.
    """

    backend: str
    name: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    ignored: int = 0


class AddressesForbidden(Event, frozen=True, kw_only=True):
    """The name of a registered address resolves to addresses that the configuration does not allow."""

    backend: str
    name: str
    endpoints: tuple[str, ...]


class NameUnresolved(Event, frozen=True, kw_only=True):
    """A lookup of the name of a dialled backend failed; the ``kept`` addresses that are known stay in use.

    ``news``: the one before did not fail, or not for this reason.
    """

    backend: str
    name: str
    reason: str
    kept: int
    news: bool


class NameResolved(Event, frozen=True, kw_only=True):
    """The name of a dialled backend resolves again."""

    backend: str
    name: str


class StreamOpened(Event, frozen=True, kw_only=True):
    """A detail of an instance that attached: from where, and what it says of itself."""

    backend: str
    instance: str
    peer: str
    version: str
    claims: tuple[str, ...]
    max_in_flight: int


class StreamEnded(Event, frozen=True, kw_only=True):
    """A detail of an instance that was attached: for how long, and why no longer."""

    backend: str
    instance: str
    peer: str
    lasted_s: float
    cause: str


class LeaseGranted(Event, frozen=True, kw_only=True):
    """A detail of an instance that registered or renewed its lease."""

    backend: str
    instance: str
    address: str
    lease_s: float


class RegistrationRefused(Event, frozen=True, kw_only=True):
    """Somebody who wanted to attach or register was turned away. ``backend`` is empty if it is none of ours."""

    backend: str
    code: str
    detail: str


class ClaimIgnored(Event, frozen=True, kw_only=True):
    """A backend claims ``patterns`` that its grant, ``granted``, excludes: no name will reach it by them.

    ``instance`` is the one that just claimed them, or empty when a new configuration granted less than before.
    """

    backend: str
    patterns: tuple[str, ...]
    granted: tuple[str, ...]
    instance: str = ""


class BackendForgotten(Event, frozen=True, kw_only=True):
    """An operator took a backend's lasting claim away. ``who`` is empty if the caller did not say."""

    backend: str
    patterns: tuple[str, ...]
    who: str


class StoreTrouble(Event, frozen=True, kw_only=True):
    """The store could not do what it should; ``detail`` is its own text.

    ``failing``: nothing can be relied on to be read or written until ``StoreRecovered``.
    """

    detail: str
    failing: bool = False


class StoreRecovered(Event, frozen=True, kw_only=True):
    """The store can be written again; it could not for ``after_s`` seconds."""

    after_s: float


class StoreOpened(Event, frozen=True, kw_only=True):
    """The store has been initialised before; ``store_id`` and ``created_at_s`` (Unix seconds) say which one it is."""

    store_id: str
    created_at_s: float


class StoreInitialised(Event, frozen=True, kw_only=True):
    """A store was initialised: ``how`` is ``empty``, ``adopted`` (it has records of an older hub) or ``operator``.

    Whatever is answered first is believed, unless it was adopted. ``lasting``: it outlives this process.
    """

    store_id: str
    how: str
    lasting: bool
    who: str = ""


class StoreUnusable(Event, frozen=True, kw_only=True):
    """From now on no question is answered, because of the store. ``reason`` and ``message`` are what callers read."""

    reason: str
    message: str


class StoreUsable(Event, frozen=True, kw_only=True):
    """Questions are answered again."""


class ConfigurationReloaded(Event, frozen=True, kw_only=True):
    """The configuration was read again; ``problem`` is empty when it was taken.

    ``needs_restart`` names the changed settings that stay as they were until the hub is restarted.
    """

    problem: str = ""
    needs_restart: tuple[str, ...] = ()


class MemoryShort(Event, frozen=True, kw_only=True):
    """The hub takes so great a part of its memory that it refuses requests; or does so no more."""

    short: bool
    part: float
    budget_bytes: int


class CertificateInForce(Event, frozen=True, kw_only=True):
    """A setting names other certificates from now on; the first expires at ``expires_s`` (Unix seconds; 0: none)."""

    setting: str
    expires_s: float


class ReloadStep(Event, frozen=True, kw_only=True):
    """A detail of a reload: one of its steps ended after ``duration_s``."""

    step: Literal["changed", "parsed", "applied"]
    duration_s: float
    detail: str = ""


class ConfigurationDoubtful(Event, frozen=True, kw_only=True):
    """The configuration in force has a setting that is probably not intended: ``problem`` names it, with its place."""

    problem: str


TaskName = Literal[
    "lease_expiry",
    "guard",
    "retention",
    "reload",
    "file_watch",
    "dial_watch",
    "name_watch",
    "store",
    "store_watch",
    "memory",
]
"""The tasks that run as long as the hub."""


class TaskFailed(Event, frozen=True, kw_only=True):
    """A task that should run as long as the hub ended; ``then`` is what follows from that."""

    task: TaskName
    then: str
    traceback: str


class LoopStalled(Event, frozen=True, kw_only=True):
    """The event loop stood still for some seconds, in ``busy_s`` of which it worked; ``where`` is what it was at."""

    seconds: float
    busy_s: float
    where: str


class LibraryMessage(Event, frozen=True, kw_only=True):
    """Something that a library, or Python itself, wrote to its own log."""

    library: str
    level: Literal["debug", "info", "warning", "error"]
    message: str
    traceback: str = ""


class ProxyIgnored(Event, frozen=True, kw_only=True):
    """The environment names a proxy, and connections to backends do not use it. Without the variables' values."""

    variables: tuple[str, ...]


class HubStarted(Event, frozen=True, kw_only=True):
    """The hub is ready to serve."""

    version: str
    http: str
    grpc: str
    admin: str


class HubStopping(Event, frozen=True, kw_only=True):
    """The hub drains."""

    signal: str


class InternalFault(Event, frozen=True, kw_only=True):
    """A defect of the hub's own, with what a maintainer needs."""

    where: str
    request_id: str
    traceback: str

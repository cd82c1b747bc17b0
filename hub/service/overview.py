"""What an operator may see of the hub at this moment: values that are ready to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.combine import Combine, First, Merge
from hub.core.errors import BackendNeverSeen
from hub.core.freezes import Freeze  # noqa: TC001 - msgspec resolves the types of fields.
from hub.service.freshness import Limited  # noqa: TC001 - msgspec reads it from the annotation.

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.core.directory import Directory
    from hub.core.keys import Keys
    from hub.core.routes import Route
    from hub.service.completeness import Completeness
    from hub.service.freezing import Freezes
    from hub.service.freshness import FreshnessLimits
    from hub.service.ports import Link
    from hub.service.routing import Routing
    from hub.service.variety import Variety


class IdentityView(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys identify sets, and who said so; no keys: nobody did, and whole sets count.

    ``backend`` is whose sets, or empty for all of a route. ``by`` and ``at_s`` (Unix seconds) are of an operator.
    """

    backend: str = ""
    keys: tuple[str, ...] = ()
    source: str = ""
    by: str = ""
    at_s: float = 0.0


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One instance. ``endpoint``: the address behind the name in ``address`` that is used; empty if that is no name."""

    instance: str
    kind: str
    state: str
    version: str
    address: str
    in_flight: int
    max_in_flight: int
    endpoint: str = ""
    problem: str = ""


class BackendView(msgspec.Struct, frozen=True, kw_only=True):
    """One backend that the configuration knows.

    ``claimed`` is what it claims, ``granted`` what it may claim, ``ignored`` the claims that can never count because
    the grant excludes them. ``awaited``: it has never connected, and names that it may claim get no first answer.
    ``freshness_limited``: it says that its answers are fresh for longer than a route allows.
    """

    name: str
    state: str
    claimed: tuple[str, ...]
    granted: tuple[str, ...]
    ignored: tuple[str, ...]
    routes: tuple[str, ...]
    instances: tuple[InstanceView, ...]
    awaited: bool = False
    freshness_limited: Limited | None = None
    identity: IdentityView = IdentityView()


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """One configured route. ``frozen``: changed answers are refused, because an operator froze it, or all routes."""

    name: str
    application_sets: tuple[str, ...]
    parameters: dict[str, str]
    backends: tuple[str, ...]
    combine: str
    deadline_s: float
    required_keys: tuple[str, ...]
    unique_by: tuple[str, ...]
    frozen: Freeze | None = None
    guarded: bool = True
    identity: tuple[IdentityView, ...] = ()


class ExplainView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a name goes, why, and whether every member is there. ``route`` is empty when nobody serves it.

    ``frozen``: only an unchanged answer leaves. ``varying_inputs`` differ in every question, so that there is never a
    baseline.
    """

    application_set_name: str
    steps: tuple[str, ...]
    route: str
    backends: tuple[str, ...]
    combine: str
    absent: tuple[str, ...]
    refusal: str
    frozen: Freeze | None = None
    varying_inputs: tuple[str, ...] = ()
    guarded: bool = True
    identity: tuple[IdentityView, ...] = ()


class Overview:
    """Looks at the directory and the routes."""

    def __init__(  # noqa: PLR0913 - what it looks at, each of them named at the call
        self,
        directory: Directory[Link],
        routing: Routing,
        completeness: Completeness,
        *,
        freezes: Freezes,
        freshness: FreshnessLimits,
        variety: Variety,
    ) -> None:
        self._freshness = freshness
        self._directory = directory
        self._routing = routing
        self._completeness = completeness
        self._freezes = freezes
        self._variety = variety

    def routes(self) -> list[RouteView]:
        """All configured routes, in order."""
        return [
            RouteView(
                name=route.name,
                application_sets=route.application_sets,
                parameters=dict(route.parameters),
                backends=route.members,
                combine=combine_text(route.combine),
                deadline_s=route.deadline_s,
                required_keys=route.rules.required_keys,
                unique_by=route.rules.unique_by,
                frozen=self._freezes.of(route.name),
                guarded=route.guarded,
                identity=self._identities(route),
            )
            for route in self._routing.table.routes
        ]

    def backends(self) -> list[BackendView]:
        """All configured backends, by name."""
        claims = {claim.backend: claim for claim in self._directory.claims()}
        awaited = set(self.awaited())
        views = []
        for backend in self._directory.backends:
            grant = self._directory.grant(backend)
            claim = claims.get(backend)
            views.append(
                BackendView(
                    name=backend,
                    state="ready" if self._directory.present(backend, None) else "absent",
                    claimed=() if claim is None else claim.patterns,
                    granted=() if grant is None else grant.application_sets,
                    ignored=self._directory.ignored_claim(backend),
                    routes=tuple(route.name for route in self._routing.table.routes if backend in route.members),
                    instances=tuple(self._instances(backend)),
                    awaited=backend in awaited,
                    freshness_limited=self._freshness.of(backend),
                    identity=_identity(backend, self._routing.book.of_backend(backend)),
                )
            )
        return views

    def _identities(self, route: Route) -> tuple[IdentityView, ...]:
        found = self._routing.identification(route)
        if found.whole is not None or len(route.members) == 1:
            return (_identity("", found.whole),)
        return tuple(_identity(member, found.of(member)) for member in route.members)

    def _instances(self, backend: str) -> Iterable[InstanceView]:
        for one in self._directory.instances(backend):
            yield InstanceView(
                instance=one.name,
                kind=one.kind,
                state=one.state,
                version=one.info.version,
                address=one.address,
                in_flight=one.in_flight,
                max_in_flight=one.max_in_flight,
                endpoint=one.endpoint,
                problem=one.problem,
            )

    def absent(self) -> list[str]:
        """Backends that are a member of some route, or claim something, and have no instance that can be asked."""
        wanted = {member for route in self._routing.table.routes for member in route.members}
        wanted |= {claim.backend for claim in self._directory.claims()}
        return sorted(backend for backend in wanted if not self._directory.present(backend, None))

    def expected_back(self) -> list[str]:
        """Those of them that have connected before, or that the hub connects to by itself."""
        return [backend for backend in self.absent() if self._directory.seen(backend) or self._is_dialled(backend)]

    def _is_dialled(self, backend: str) -> bool:
        grant = self._directory.grant(backend)
        return grant is not None and bool(grant.configured_address)

    def awaited(self) -> list[str]:
        """Expected backends that have never connected; names that they may claim get no first answer."""
        return sorted(one.backend for one in self._directory.unseen())

    async def explain(self, name: str, path_route: str | None, parameters: dict[str, Any]) -> ExplainView:
        """Where a question would go.

        Raises:
            StoreFailed: the store cannot be read.
        """
        decision = self._routing.table.explain(path_route, name, parameters)
        route: Route | None = decision.route
        refusal = decision.refusal if route is None else await self._refusal(route, name)
        claimed_name = name if route is not None and route.claimed else None
        members = () if route is None else route.members
        return ExplainView(
            application_set_name=name,
            steps=decision.steps,
            route="" if route is None else route.name,
            backends=members,
            combine="" if route is None else combine_text(route.combine),
            absent=tuple(member for member in members if not self._directory.present(member, claimed_name)),
            refusal=refusal,
            frozen=None if route is None else self._freezes.of(route.name),
            varying_inputs=() if route is None else self._varying_inputs(route, name),
            guarded=route is not None and route.guarded,
            identity=() if route is None else self._identities(route),
        )

    def _varying_inputs(self, route: Route, name: str) -> tuple[str, ...]:
        ignored = route.trust.guard.ignore_inputs
        return tuple(key for key in self._variety.of(route.name, name) if key not in ignored)

    async def _refusal(self, route: Route, name: str) -> str:
        try:
            await self._completeness.check(route, name)
        except BackendNeverSeen as error:
            return str(error)
        return ""

    def instances(self) -> Iterable[tuple[str, str, int]]:
        """Backend, state, and how many instances are in it."""
        return self._directory.counts()

    def ignored_claims(self) -> Iterable[tuple[str, int]]:
        """Backend, and how many of its claimed patterns its grant excludes."""
        return self._directory.ignored_counts()


def _identity(backend: str, found: Keys | None) -> IdentityView:
    if found is None:
        return IdentityView(backend=backend)
    return IdentityView(backend=backend, keys=found.keys, source=found.source, by=found.by, at_s=found.at_s)


def combine_text(how: Combine) -> str:
    """How answers are combined, in a word or two."""
    if isinstance(how, Merge):
        return "merge on " + ", ".join(how.on)
    return "first" if isinstance(how, First) else "concat"

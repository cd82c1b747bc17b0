"""Which backends answer a name, and how their answers are combined.

In this order: the route that the path names, the configured routes, the claims of backends, nobody.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.combine import AnswerRules, Combine, Concat, Recipe
from hub.core.errors import HubError, NobodyServes, StoreNeeded, UnknownRoute
from hub.core.guard import GuardPolicy
from hub.core.patterns import PatternIndex, matcher
from hub.core.values import ValueRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hub.core.keys import Identification

CLAIMED = "(claims)"
"""The name of every route that is made of claims; no configured route can have it."""

_MAX_CACHED_NAMES = 4096  # A cache of look-ups that are made again at the next miss.


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How long an accepted answer may be given again without asking, in seconds.

    ``fresh_s`` is for a backend that does not say; what a backend says is never taken for more than ``max_s``.
    """

    fresh_s: float = 0.0
    max_s: float = 60.0

    def of(self, wanted_s: float | None) -> float:
        """The time for an answer whose backend wants ``wanted_s`` (``None``: it does not say)."""
        return min(self.fresh_s if wanted_s is None else wanted_s, self.max_s)


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is held against, and what may stand in for it.

    ``stale_max_age_s``: the last accepted answer may be given instead of an error for so many seconds; ``None``: never.
    """

    guard: GuardPolicy = GuardPolicy()
    freshness: Freshness = Freshness()
    stale_max_age_s: float | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Which backends answer, and how.

    ``application_sets`` and ``parameters`` are glob patterns; all of ``parameters`` must match a top-level text of the
    input. ``unseen``, of a route made of claims: backends that have never connected and may claim the name too.
    ``max_in_flight``: the most requests at a time; ``None`` is any number. ``share_within_s``: how long after its start
    an ask is still shared with equal questions.
    """

    name: str
    members: tuple[str, ...]
    application_sets: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    combine: Combine = Concat()
    deadline_s: float = 25.0
    wait_for_absent_s: float = 3.0
    rules: AnswerRules = AnswerRules()
    values: ValueRules = ValueRules()
    trust: Trust = Trust()
    unseen: tuple[str, ...] = ()
    wait_for_busy_s: float = 3.0
    max_in_flight: int | None = None
    share_within_s: float = 1.0

    @property
    def claimed(self) -> bool:
        """Whether it is made of claims rather than configured."""
        return self.name == CLAIMED

    @property
    def guarded(self) -> bool:
        """Whether the guard reviews its answers."""
        return self.trust.guard.mode != "off"

    @property
    def ignored_inputs(self) -> tuple[str, ...]:
        """The inputs that do not make a question another one, for the guard and the last good answer."""
        return self.trust.guard.ignore_inputs if self.guarded else ()

    def recipe(self, identification: Identification) -> Recipe:
        """What is made of the members' answers."""
        return Recipe(
            route=self.name,
            combine=self.combine,
            rules=self.rules,
            values=self.values,
            identify=self.guarded,
            identification=identification,
        )

    def takes(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the input matches the route's patterns on it."""
        return all(
            isinstance(value := parameters.get(key), str) and matcher(pattern)(value)
            for key, pattern in self.parameters
        )


_CLAIMED_ROUTE = Route(name=CLAIMED, members=())


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a backend serves: its own patterns, inside those that the configuration grants.

    ``lasting`` says that a restart of the hub does not forget it.
    """

    backend: str
    patterns: tuple[str, ...]
    granted: tuple[str, ...]
    lasting: bool


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that has never connected, so that it may claim any name that the configuration grants it."""

    backend: str
    granted: tuple[str, ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Why a name goes where it goes: one line a step that was looked at, and the route or the refusal."""

    steps: tuple[str, ...]
    route: Route | None = None
    refusal: str = ""


class RouteTable:
    """All routes and claims at one moment; made anew when either changes.

    A look-up costs the same with ten routes and with ten thousand.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        claims: Iterable[Claim],
        *,
        unseen: Iterable[Unseen] = (),
        claimed: Route = _CLAIMED_ROUTE,
    ) -> None:
        """Index the configured routes, in order, and the claims; ``claimed`` is what all routes of claims are like."""
        self._routes = routes
        self._named = {route.name: route for route in routes}
        self._index = PatternIndex([(route.application_sets, route) for route in routes])
        self._like = claimed
        self._set_claims(claims, unseen)

    def with_claims(self, claims: Iterable[Claim], unseen: Iterable[Unseen]) -> RouteTable:
        """The same routes under other claims."""
        table = object.__new__(RouteTable)
        table._routes, table._named, table._index = self._routes, self._named, self._index
        table._like = self._like
        table._set_claims(claims, unseen)
        return table

    def _set_claims(self, claims: Iterable[Claim], unseen: Iterable[Unseen]) -> None:
        ordered = sorted(claims, key=lambda claim: claim.backend)
        self._claims = PatternIndex([(claim.patterns, claim) for claim in ordered])
        self._unseen = PatternIndex([(one.granted, one.backend) for one in unseen])
        self._candidates: dict[str, list[Route]] = {}
        self._claimed: dict[str, Route | HubError] = {}

    @property
    def routes(self) -> Sequence[Route]:
        """The configured routes, in order."""
        return self._routes

    def named(self, name: str) -> Route | None:
        """The configured route of this name; of ``CLAIMED``, what all routes of claims are like."""
        return self._like if name == CLAIMED else self._named.get(name)

    @property
    def like(self) -> Route:
        """What all routes of claims are like."""
        return self._like

    def resolve(self, path_route: str | None, name: str, parameters: Mapping[str, Any]) -> Route:
        """The route of a name, or the one that the path names.

        Raises:
            UnknownRoute: the path names a route that is not configured.
            NobodyServes: nothing matches the name.
            StoreNeeded: several claims match, and the store would forget them.
        """
        if path_route is not None:
            return self._route_in_path(path_route)
        candidates = self._candidates.get(name)
        if candidates is None:
            candidates = _remember(self._candidates, name, self._index.matching(name))
        for route in candidates:
            if not route.parameters or route.takes(parameters):
                return route
        found = self._claimed.get(name)
        if found is None:
            found = _remember(self._claimed, name, self._from_claims(name))
        if isinstance(found, Route):
            return found
        raise type(found)(str(found))

    def _route_in_path(self, name: str) -> Route:
        route = self._named.get(name)
        if route is None:
            raise UnknownRoute(
                "the baseUrl names a route that is not configured; compare its path with the hub's routes"
            )
        return route

    def _from_claims(self, name: str) -> Route | HubError:
        claims = self._claims_on(name)
        if not claims:
            return NobodyServes(self._unserved(name))
        if len(claims) > 1 and not all(claim.lasting for claim in claims):
            backends = ", ".join(f'"{claim.backend}"' for claim in claims)
            return StoreNeeded(
                f"backends {backends} claim this name together, and the hub's store would forget that; "
                "configure a route, or a store that lasts"
            )
        return msgspec.structs.replace(
            self._like, members=tuple(claim.backend for claim in claims), unseen=tuple(self._unseen_on(name))
        )

    def _unserved(self, name: str) -> str:
        # The first alone: there may be any number, and the message has room for one.
        denied = next((claim.backend for claim in self._claims.matching(name)), None)
        why = "" if denied is None else f'; backend "{denied}" claims it, but its grant in hub.yaml excludes this name'
        return f'no route and no backend serves "{name}"{why}; to see why, run: appset-hub explain {quote(name)}'

    def _claims_on(self, name: str) -> list[Claim]:
        return [
            claim for claim in self._claims.matching(name) if any(matcher(pattern)(name) for pattern in claim.granted)
        ]

    def _unseen_on(self, name: str) -> list[str]:
        return sorted(self._unseen.matching(name))

    def _explain_claims(self, name: str) -> list[str]:
        counting = self._claims_on(name)
        claims = [
            f'backend "{claim.backend}" claims it'
            + ("" if claim in counting else f", but its grant excludes the name: {_grant_text(claim.granted)}")
            for claim in self._claims.matching(name)
        ]
        unseen = [
            f'backend "{backend}" has never connected to this hub; its grant covers the name, so it may claim it'
            for backend in self._unseen_on(name)
        ]
        return (claims or ["no backend claims it"]) + unseen

    def explain(self, path_route: str | None, name: str, parameters: Mapping[str, Any]) -> Decision:
        """Where a question would go, with the steps that lead there."""
        steps = []
        if path_route is None:
            for route in self._index.matching(name):
                fits = route.takes(parameters)
                steps.append(
                    f'route "{route.name}" matches the name'
                    + ("" if fits else ", but its patterns on the input do not match")
                )
                if fits:
                    break
            else:
                steps.append("no configured route takes it")
                steps += self._explain_claims(name)
        else:
            steps.append(f'the path names route "{path_route}"')
        try:
            return Decision(steps=tuple(steps), route=self.resolve(path_route, name, parameters))
        except HubError as error:
            return Decision(steps=tuple(steps), refusal=str(error))


def _grant_text(granted: tuple[str, ...]) -> str:
    """A grant and how to widen it, in a few words."""
    patterns = ", ".join(f'"{pattern}"' for pattern in granted)
    return f"application_sets of this backend in hub.yaml has {f'only {patterns}' if granted else 'no pattern'}"


def _remember(cache: dict[str, Any], name: str, value: Any) -> Any:
    if len(cache) >= _MAX_CACHED_NAMES:
        cache.clear()
    cache[name] = value
    return value

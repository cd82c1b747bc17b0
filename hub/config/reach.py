"""What can never be reached: routes behind other routes, routes and grants that no client may use, idle backends.

Ten thousand routes must not take ten thousand times ten thousand comparisons, so patterns are indexed by the text that
they begin and end with. Patterns without such text are compared as far as the work is limited; what is beyond is not
reported.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hub.config.globs import Comparisons
from hub.core.patterns import literal_prefix, literal_suffix
from hub.core.routes import CLAIMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hub.config import file as shape
    from hub.config.places import Findings

T = TypeVar("T")

_STEPS = 40_000  # Of work in one report: a few hundredths of a second.


class PatternTree(Generic[T]):
    """Values under patterns, found by a pattern that covers or overlaps theirs."""

    def __init__(self, comparisons: Comparisons) -> None:
        self._comparisons = comparisons
        self._under: dict[str, dict[str, list[tuple[str, T]]]] = {}
        self._sorted: list[str] = []
        self._lengths: set[tuple[int, int]] = set()

    def add(self, pattern: str, value: T) -> None:
        """Put a value under a pattern."""
        prefix, suffix = literal_prefix(pattern), literal_suffix(pattern)
        if prefix not in self._under:
            self._sorted = []
        self._under.setdefault(prefix, {}).setdefault(suffix, []).append((pattern, value))
        self._lengths.add((len(prefix), len(suffix)))

    def wider(self, pattern: str) -> Iterator[tuple[str, T]]:
        """What begins and ends as the pattern does, with no more text: only such patterns can cover it."""
        prefix, suffix = literal_prefix(pattern), literal_suffix(pattern)
        for length, suffix_length in self._limited(self._lengths):
            if length <= len(prefix) and suffix_length <= len(suffix):
                under = self._under.get(prefix[:length], {})
                yield from self._limited(under.get(suffix[len(suffix) - suffix_length :], ()))

    def near(self, pattern: str) -> Iterator[tuple[str, T]]:
        """What begins with a part of what the pattern begins with, or with more: only such patterns can overlap."""
        prefix = literal_prefix(pattern)
        for length in self._limited({length for length, _ in self._lengths}):
            if length <= len(prefix):
                yield from self._all(prefix[:length])
        if not self._sorted:
            self._sorted = sorted(self._under)
        for at in self._limited(range(bisect_left(self._sorted, prefix), len(self._sorted))):
            longer = self._sorted[at]
            if not longer.startswith(prefix):
                return
            if longer != prefix:
                yield from self._all(longer)

    def _all(self, prefix: str) -> Iterator[tuple[str, T]]:
        for found in self._limited(self._under.get(prefix, {}).values()):
            yield from self._limited(found)

    def _limited(self, candidates: Iterable[Any]) -> Iterator[Any]:
        return limited(candidates, self._comparisons)


def limited(candidates: Iterable[T], comparisons: Comparisons) -> Iterator[T]:
    """The candidates, one step each, for as long as there are steps."""
    for candidate in candidates:
        if comparisons.spent:
            return
        comparisons.spend(1)
        yield candidate


def report_shadowed(written: shape.File, findings: Findings) -> None:
    """Warn about each route whose every name is taken by earlier routes."""
    same: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
    earlier = _EarlierRoutes(written)
    for index, route in enumerate(written.routes):
        parameters = frozenset(route.parameters.items())
        takers = []
        for pattern in route.application_sets:
            taker = same.get((pattern, parameters))
            takers.append(earlier.taker(pattern, route) if taker is None else taker)
        if takers and all(taker is not None for taker in takers):
            _report_shadowed(index, {taker for taker in takers if taker is not None}, written, findings)
        for pattern in route.application_sets:
            if (pattern, parameters) not in same:
                same[pattern, parameters] = index
                earlier.add(pattern, index)


class _EarlierRoutes:
    """The patterns of the routes so far."""

    def __init__(self, written: shape.File) -> None:
        self._routes = written.routes
        self._comparisons = Comparisons(_STEPS)
        self._tree: PatternTree[int] = PatternTree(self._comparisons)

    def add(self, pattern: str, index: int) -> None:
        self._tree.add(pattern, index)

    def taker(self, pattern: str, route: shape.Route) -> int | None:
        """The route that takes every question of this pattern."""
        for wide, index in self._tree.wider(pattern):
            if self._is_wider(self._routes[index].parameters, route.parameters) and self._comparisons.covers(
                wide, pattern
            ):
                return index
        return None

    def _is_wider(self, wide: Mapping[str, str], narrow: Mapping[str, str]) -> bool:
        return all(key in narrow and self._comparisons.covers(pattern, narrow[key]) for key, pattern in wide.items())


def _report_shadowed(index: int, takers: set[int], written: shape.File, findings: Findings) -> None:
    places = ", ".join(
        f'"{written.routes[taker].name}" ({findings.places.also(("routes", taker))})' for taker in sorted(takers)
    )
    findings.doubt(
        ("routes", index),
        f'no request reaches route "{written.routes[index].name}" by name: all its names match earlier routes: '
        f"{places}; move it up, or narrow those",
    )


def report_unusable(written: shape.File, findings: Findings) -> None:
    """Warn about routes and grants that no client may use, and about clients and backends without a use."""
    if not written.clients:
        return
    clients = _ClientPatterns(written.clients)
    for index, route in enumerate(written.routes):
        if not clients.may_use(route.name, route.application_sets):
            findings.doubt(
                ("routes", index),
                f'no client may use route "{route.name}": none allows both its name (routes) and its application_sets',
            )
    routed = {backend for route in written.routes for backend in route.backends}
    for index, backend in enumerate(written.backends):
        if backend.application_sets:
            if not clients.may_use(CLAIMED, backend.application_sets) and backend.name not in routed:
                findings.doubt(
                    ("backends", index, "application_sets"),
                    "no client may request these names, so nothing uses the grant",
                )
        elif backend.name not in routed:
            findings.doubt(
                ("backends", index),
                f'no request reaches backend "{backend.name}": no route names it, and it may claim no application_sets',
            )
    _report_client_routes(written, findings)


class _ClientPatterns:
    """What clients may request, by pattern."""

    def __init__(self, clients: list[shape.Client]) -> None:
        self._clients = clients
        self._comparisons = Comparisons(_STEPS)
        self._tree: PatternTree[shape.Client] = PatternTree(self._comparisons)
        for client in clients:
            for pattern in client.application_sets:
                self._tree.add(pattern, client)

    def may_use(self, route: str, application_sets: list[str]) -> bool:
        """Whether a client may use the route for some name; without patterns, its path is the only way."""
        if not application_sets:
            return any(self._allows(client, route) for client in self._clients)
        for pattern in application_sets:
            for allowed, client in self._tree.near(pattern):
                if self._allows(client, route) and self._comparisons.overlap(allowed, pattern):
                    return True
        return self._comparisons.spent

    def _allows(self, client: shape.Client, route: str) -> bool:
        """Whether one of the client's patterns matches a name, which overlaps with a pattern exactly if it does."""
        return any(self._comparisons.overlap(pattern, route) for pattern in client.routes)


def _report_client_routes(written: shape.File, findings: Findings) -> None:
    names = [CLAIMED, *(route.name for route in written.routes)]
    known, comparisons = {"*", *names}, Comparisons(_STEPS)
    for index, client in enumerate(written.clients):
        for position, pattern in enumerate(client.routes):
            if pattern not in known and not any(comparisons.overlap(pattern, name) for name in names):
                findings.doubt(("clients", index, "routes", position), f'no route matches "{pattern}"')

"""What can never be reached: routes behind other routes, routes and grants that no client may use, idle backends.

Ten thousand routes must not take ten thousand times ten thousand looks: patterns are indexed by their literal prefix.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Generic, TypeVar

from hub.config.globs import covers, overlap
from hub.core.patterns import any_matches, literal_prefix, matcher
from hub.core.routes import CLAIMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hub.config import file as shape
    from hub.config.places import Findings

T = TypeVar("T")

_MAX_LOOKS = 300_000  # Comparisons of patterns in one pass: a second of them. What is beyond is not reported.


class PatternTree(Generic[T]):
    """Values under patterns, found by a pattern that covers or overlaps theirs."""

    def __init__(self) -> None:
        self._under: dict[str, list[tuple[str, T]]] = {}
        self._sorted: list[str] = []
        self._lengths: set[int] = set()

    def add(self, pattern: str, value: T) -> None:
        """Put a value under a pattern."""
        prefix = literal_prefix(pattern)
        if prefix not in self._under:
            self._sorted = []
        self._under.setdefault(prefix, []).append((pattern, value))
        self._lengths.add(len(prefix))

    def shorter(self, pattern: str) -> Iterator[tuple[str, T]]:
        """What is under a prefix of the pattern's: only such patterns can cover it."""
        prefix = literal_prefix(pattern)
        for length in self._lengths:
            if length <= len(prefix):
                yield from self._under.get(prefix[:length], ())

    def near(self, pattern: str) -> Iterator[tuple[str, T]]:
        """What is under a prefix of the pattern's, or under one that begins with it: only such patterns can overlap."""
        yield from self.shorter(pattern)
        prefix = literal_prefix(pattern)
        if not self._sorted:
            self._sorted = sorted(self._under)
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            longer = self._sorted[at]
            if not longer.startswith(prefix):
                return
            if longer != prefix:
                yield from self._under[longer]


class _Looks:
    """How many comparisons are left."""

    def __init__(self) -> None:
        self._left = _MAX_LOOKS

    @property
    def spent(self) -> bool:
        """Whether none is left, so that "not found" means nothing."""
        return self._left <= 0

    def limited(self, candidates: Iterable[T]) -> Iterator[T]:
        for candidate in candidates:
            if self._left <= 0:
                return
            self._left -= 1
            yield candidate


def report_shadowed(written: shape.File, findings: Findings) -> None:
    """Warn about each route whose every name is taken by earlier routes."""
    before: PatternTree[int] = PatternTree()
    same: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
    looks = _Looks()
    for index, route in enumerate(written.routes):
        parameters = frozenset(route.parameters.items())
        takers = []
        for pattern in route.application_sets:
            taker = same.get((pattern, parameters))
            takers.append(
                _taker(pattern, route, looks.limited(before.shorter(pattern)), written) if taker is None else taker
            )
        if takers and all(taker is not None for taker in takers):
            _report_shadowed(index, {taker for taker in takers if taker is not None}, written, findings)
        for pattern in route.application_sets:
            if (pattern, parameters) not in same:
                same[pattern, parameters] = index
                before.add(pattern, index)


def _taker(pattern: str, route: shape.Route, before: Iterable[tuple[str, int]], written: shape.File) -> int | None:
    """The earlier route that takes every question of this pattern."""
    for wide, index in before:
        if _is_wider(written.routes[index].parameters, route.parameters) and covers(wide, pattern):
            return index
    return None


def _is_wider(wide: Mapping[str, str], narrow: Mapping[str, str]) -> bool:
    return all(key in narrow and covers(pattern, narrow[key]) for key, pattern in wide.items())


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
        self._tree: PatternTree[shape.Client] = PatternTree()
        self._looks = _Looks()
        for client in clients:
            for pattern in client.application_sets:
                self._tree.add(pattern, client)

    def may_use(self, route: str, application_sets: list[str]) -> bool:
        """Whether a client may use the route for some name; without patterns, its path is the only way."""
        if not application_sets:
            candidates = self._looks.limited(self._clients)
            return any(any_matches(client.routes, route) for client in candidates) or self._looks.spent
        for pattern in application_sets:
            for allowed, client in self._looks.limited(self._tree.near(pattern)):
                if any_matches(client.routes, route) and overlap(allowed, pattern):
                    return True
        return self._looks.spent


def _report_client_routes(written: shape.File, findings: Findings) -> None:
    names = [CLAIMED, *(route.name for route in written.routes)]
    known, looks = {"*", *names}, _Looks()
    for index, client in enumerate(written.clients):
        for position, pattern in enumerate(client.routes):
            matches = matcher(pattern)
            if pattern not in known and not any(map(matches, looks.limited(names))) and not looks.spent:
                findings.doubt(("clients", index, "routes", position), f'no route matches "{pattern}"')

"""Settings that are allowed one by one but probably not intended together; each is a warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hub.config.durations import seconds
from hub.config.suggestions import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hub.config import file as shape
    from hub.config.places import At, Findings

_ARGO_CD_TIMEOUT_S = 30
_ARGO_CD_KEEPALIVE_S = 90
_SMALL_HEAD_BYTES = 1024
_SET = re.compile(r"\[[^]]*\]")
_NEVER_IN_A_NAME = re.compile(r"[^-a-z0-9.*?]")
# What no name has and no glob means; ".*" is one only after a letter, a digit or a wildcard, as in "a.*".
_REGULAR_EXPRESSION = re.compile(r"[\^$()|\\+{}]|(?<![A-Za-z0-9\]?*])\.\*")


def report_doubts(written: shape.File, findings: Findings) -> None:
    """Warn about everything of this kind."""
    _times(written, findings)
    _limits(written, findings)
    _guard(("guard",), written.guard, written, findings)
    _cache(("cache",), written.cache, findings)
    for index, route in enumerate(written.routes):
        _route(("routes", index), route, written, findings)
    for index, backend in enumerate(written.backends):
        _backend(("backends", index), backend, findings)
    for index, client in enumerate(written.clients):
        for key in ("application_sets", "routes"):
            if not getattr(client, key):
                findings.doubt(("clients", index, key), "is empty, so this client may request nothing")
        if client.max_in_flight > written.limits.requests_in_flight and findings.places.written(
            ("clients", index, "max_in_flight")
        ):
            findings.doubt(
                ("clients", index, "max_in_flight"),
                f"is more than limits.requests_in_flight ({written.limits.requests_in_flight}), which is reached first",
            )


def _times(written: shape.File, findings: Findings) -> None:
    _deadline(("deadline",), written.deadline, findings)
    if findings.places.written(("wait_for_absent",)):
        _wait(("wait_for_absent",), written.wait_for_absent, written.deadline, findings)


def _deadline(at: At, text: str, findings: Findings) -> None:
    if seconds(text) >= _ARGO_CD_TIMEOUT_S:
        findings.doubt(
            at,
            f"{text} is not shorter than Argo CD's default timeout of {_ARGO_CD_TIMEOUT_S} s, so Argo CD times out "
            "first; set a longer requestTimeout in the plugin's ConfigMap",
        )


def _wait(at: At, text: str, deadline: str, findings: Findings) -> None:
    if seconds(text) > seconds(deadline):
        findings.doubt(at, f"{text} is longer than the deadline ({deadline}), which ends the request first")


def _limits(written: shape.File, findings: Findings) -> None:
    limits = written.limits
    if seconds(limits.keepalive) <= _ARGO_CD_KEEPALIVE_S:
        findings.doubt(
            ("limits", "keepalive"),
            f"{limits.keepalive} is not longer than the {_ARGO_CD_KEEPALIVE_S} s for which Argo CD keeps connections; "
            "some of its requests will fail",
        )
    body_timeout = ("limits", "body_timeout")
    if findings.places.written(body_timeout):
        _wait(body_timeout, limits.body_timeout, written.deadline, findings)
    if limits.max_head_bytes < _SMALL_HEAD_BYTES:
        findings.doubt(("limits", "max_head_bytes"), "is too small for the headers of Argo CD's requests")
    if limits.backend_in_flight > limits.max_backend_in_flight:
        findings.doubt(
            _first_written((("limits", "backend_in_flight"), ("limits", "max_backend_in_flight")), findings),
            f"limits.backend_in_flight ({limits.backend_in_flight}) is more than limits.max_backend_in_flight "
            f"({limits.max_backend_in_flight}), which limits it",
        )


def _first_written(places: Iterable[At], findings: Findings) -> At:
    *_, last = found = list(places)
    return next((at for at in found if findings.places.written(at)), last)


def _guard(at: At, guard: shape.Guard, written: shape.File, findings: Findings) -> None:
    if guard.mode == "off":
        return
    if guard.max_drop == "100%":
        findings.doubt(
            (*at, "max_drop"), "100% is never exceeded, so the guard holds nothing; to disable the guard, set mode: off"
        )
    if guard.min_sets > written.limits.max_sets:
        findings.doubt(
            (*at, "min_sets"),
            f"is more than limits.max_sets ({written.limits.max_sets}), so the guard holds nothing",
        )


def _cache(at: At, cache: shape.Cache, findings: Findings) -> None:
    if seconds(cache.fresh) > seconds(cache.max):
        findings.doubt((*at, "fresh"), f"{cache.fresh} is longer than cache.max ({cache.max}), which limits it")


def _route(at: At, route: shape.Route, written: shape.File, findings: Findings) -> None:
    deadline = route.deadline or written.deadline
    if route.deadline is not None:
        _deadline((*at, "deadline"), route.deadline, findings)
    if route.wait_for_absent is not None:
        _wait((*at, "wait_for_absent"), route.wait_for_absent, deadline, findings)
    if route.guard is not None:
        _guard((*at, "guard"), route.guard, written, findings)
    if route.cache is not None:
        _cache((*at, "cache"), route.cache, findings)
    if len(route.backends) == 1 and route.combine != "concat":
        word = "first" if route.combine == "first" else "merge"
        findings.doubt((*at, "combine"), f'"{word}" has no effect with one backend')
    if route.parameters and not route.application_sets:
        findings.doubt(
            (*at, "parameters"), "have no effect without application_sets: the route is reachable only through its path"
        )


def _backend(at: At, backend: shape.Backend, findings: Findings) -> None:
    if not backend.address and not backend.addresses:
        for key in ("call_tls", "call_token"):
            if getattr(backend, key) is not None:
                findings.doubt((*at, key), "has no effect: without address or addresses the hub never connects to it")
    if not backend.expected and (backend.address or not backend.application_sets):
        why = (
            "the claim of a backend with an address is known"
            if backend.address
            else "without application_sets it claims nothing"
        )
        findings.doubt((*at, "expected"), f"has no effect: {why}")
    if backend.addresses and not backend.tokens and not backend.certificates:
        findings.doubt(
            (*at, "addresses"), "have no effect: without tokens or certificates the backend cannot register an address"
        )


def report_unknown_keys(written: shape.File, findings: Findings) -> None:
    """Hint at backends whose releases the guard may hold; those that connect may still declare their keys."""
    unknown = {
        backend
        for route in written.routes
        if (route.guard or written.guard).mode != "off" and not route.unique_by and isinstance(route.combine, str)
        for backend in route.backends
    }
    for index, backend in enumerate(written.backends):
        claims = bool(backend.application_sets) and written.guard.mode != "off"
        if not backend.unique_by and (claims or backend.name in unknown):
            own = "" if backend.address and not backend.addresses else " or in the backend itself"
            findings.hint(
                ("backends", index),
                f'no unique_by says which keys identify a set of backend "{backend.name}", so the guard holds a '
                f"release that changes many sets until an operator accepts it; set unique_by here, in its routes{own}",
            )


def report_patterns(written: shape.File, findings: Findings) -> None:
    """Regular expressions where globs are expected are errors; globs that match no name are warnings."""
    for at, pattern in _name_patterns(written):
        if _REGULAR_EXPRESSION.search(_SET.sub("x", pattern)):
            findings.wrong(
                at, f'expected a glob pattern such as "fb-*", got the regular expression "{pattern}"{_as_glob(pattern)}'
            )
        elif _NEVER_IN_A_NAME.search(_SET.sub("", pattern)):
            findings.doubt(
                at,
                f'"{pattern}" matches no ApplicationSet: their names have only lower-case letters, digits, "-" and "."',
            )
    for at, pattern in _other_patterns(written):
        if pattern.startswith("^"):
            findings.wrong(at, f'expected a glob pattern, got the regular expression "{pattern}"{_as_glob(pattern)}')


def _as_glob(pattern: str) -> str:
    found = pattern.removeprefix("^").removesuffix("$").replace(".*", "*").replace(".+", "*").replace("\\.", ".")
    return "" if _NEVER_IN_A_NAME.search(found) or not found else f'; did you mean "{found}"?'


def _name_patterns(written: shape.File) -> Iterator[tuple[At, str]]:
    for section in ("clients", "backends", "routes"):
        for index, entry in enumerate(getattr(written, section)):
            for position, pattern in enumerate(entry.application_sets):
                yield (section, index, "application_sets", position), pattern


def _other_patterns(written: shape.File) -> Iterator[tuple[At, str]]:
    for section, key in (("clients", "routes"), ("backends", "addresses")):
        for index, entry in enumerate(getattr(written, section)):
            for position, pattern in enumerate(getattr(entry, key)):
                yield (section, index, key, position), pattern


def report_variables(names: Iterable[str], known: Iterable[str], findings: Findings) -> None:
    """Warn about variables of the environment that come very close to those that override a setting."""
    variables = set(known)
    for name in names:
        guess = suggestion(name, variables, close=0.92) if name not in variables else None
        if guess is not None:
            findings.environment(name, f'unknown variable; did you mean "{guess}"?')

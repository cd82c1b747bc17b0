"""What the guard does about releases, and about sources that shrink."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stage import OK, Sets, Stage

if TYPE_CHECKING:
    from stage import Reply, Scripted

Play = Callable[[Stage], str]

_RELEASES = 5
_HELD = 409
_ROWS = 40
_SOURCES = 50
_ONE_ROUTE: dict[str, Any] = {"name": "all", "application_sets": ["*"], "backends": ["images"]}


def services(count: int, tag: str = "1.4.2") -> Sets:
    """Sets as a release pipeline makes them."""
    return [{"name": f"svc-{number}", "tag": tag} for number in range(count)]


def opened(stage: Stage, *, route: dict[str, Any] | None = None, **more: Any) -> Scripted:
    """A hub with one attached backend and one route; a key that a version does not know yet is left out."""
    backend = stage.backend("images")
    backend.says([])
    backends = [{"name": "images", "tokens": [{"file": "images.token"}]}]
    stage.configure(backends=backends, routes=[{**_ONE_ROUTE, **(route or {})}], **more)
    if route and not stage.knows():
        plain = {key: value for key, value in route.items() if key != "guard"}
        stage.configure(backends=backends, routes=[{**_ONE_ROUTE, **plain}], **more)
    stage.start()
    backend.start()
    stage.wait_for_backends()
    return backend


def _releases(stage: Stage, *, count: int, route: dict[str, Any]) -> str:
    backend = opened(stage, route=route)
    held = 0
    backend.says(services(count))
    stage.ask("previews")
    for release in range(_RELEASES):
        backend.says(services(count, f"2.{release}.0"))
        if stage.ask("previews").status != _HELD:
            continue
        held += 1
        if not stage.accept("--unique-by", "name"):
            stage.accept()
        stage.ask("previews")
    return f"{held} of {_RELEASES} held"


def _shrinking(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    for count in (100, 50, 25, 13, 7, 4):
        backend.says(services(count))
        if stage.ask("previews").status != OK:
            return f"held on the way to {count}"
    return "never held"


def _matrix(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    for row in range(_ROWS):
        backend.says([{"name": f"row-{row}"}])
        stage.ask("matrix", parameters={"row": str(row)})
    backend.says([])
    lost = sum(stage.ask("matrix", parameters={"row": str(row)}).status == OK for row in range(_ROWS))
    return f"{lost} of {_ROWS} rows emptied"


def _many_sources(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    for count in (10, 7):
        backend.says(services(count))
        passed = sum(stage.ask(f"set-{number}").status == OK for number in range(_SOURCES))
    return f"{passed} of {_SOURCES} shrank"


def _change(stage: Stage, *, before: Sets, after: Sets, route: dict[str, Any]) -> str:
    backend = opened(stage, route=route)
    backend.says(before)
    stage.ask("previews")
    backend.says(after)
    return str(stage.ask("previews"))


def _new_namespace(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    backend.says(services(10))
    stage.ask("previews")
    backend.says(services(2))
    return str(stage.ask("previews", namespace="argocd"))


def _renamed_client(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    backend.says(services(10))
    stage.ask("previews")
    stage.stop()
    stage.configure(
        backends=[{"name": "images", "tokens": [{"file": "images.token"}]}],
        routes=[{**_ONE_ROUTE, "unique_by": ["name"]}],
        clients=[{"name": "argocd-eu", "tokens": [{"file": "argocd.token"}]}],
    )
    backend.says(services(2))
    stage.start()
    stage.wait_for_backends()
    return str(stage.ask("previews"))


def _changing_input(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"], "guard": {"ignore_inputs": ["sha"]}})
    reply: Reply | None = None
    for sha, count in (("a1", 10), ("b2", 10), ("c3", 4)):
        backend.says(services(count))
        reply = stage.ask("previews", parameters={"env": "prod", "sha": sha})
    return str(reply)


def _accepted_then_changed(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    for sets in (services(10), services(2)):
        backend.says(sets)
        stage.ask("previews")
    stage.accept()
    backend.says(services(2, "another commit"))
    return str(stage.ask("previews"))


def _branches(count: int) -> Sets:
    return [{"name": "apps", "branches": [{"name": f"b-{number}"} for number in range(count)]}]


_BY_NAME = {"unique_by": ["name"]}

SCENARIOS: dict[str, Play] = {
    **{
        f"{_RELEASES} releases of {count} sets, no unique_by": functools.partial(_releases, count=count, route={})
        for count in (8, 100, 1_000)
    },
    f"{_RELEASES} releases of 8 sets, unique_by": functools.partial(_releases, count=8, route=_BY_NAME),
    "100 sets to 50, 25, 13, 7 and 4": _shrinking,
    f"a matrix of {_ROWS} rows, each answered []": _matrix,
    f"{_SOURCES} ApplicationSets of 10, each loses 3": _many_sources,
    "1,000 sets lose 499": functools.partial(_change, before=services(1000), after=services(501), route=_BY_NAME),
    "10 sets lose 6": functools.partial(_change, before=services(10), after=services(4), route=_BY_NAME),
    "a list in a set shrinks from 12 to 1": functools.partial(
        _change, before=_branches(12), after=_branches(1), route={**_BY_NAME, "guard": {"count": "branches"}}
    ),
    "an empty name": functools.partial(
        _change, before=services(2), after=[{"name": "", "tag": "1"}, {"name": "ok", "tag": "1"}], route=_BY_NAME
    ),
    "10 sets lose 8 as a namespace is sent": _new_namespace,
    "10 sets lose 8 as the client is renamed": _renamed_client,
    "10 sets lose 6, a new sha in each input": _changing_input,
    "accepted, then a survivor changes": _accepted_then_changed,
}

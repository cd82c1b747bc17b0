"""An ApplicationSet that fits a configuration, with what the configuration knows. Pure."""

from __future__ import annotations

import json
import re
import string
from itertools import product
from typing import TYPE_CHECKING, Any

from hub.config.file import Merge
from hub.core.patterns import any_matches, matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hub.cli.connection import Connection
    from hub.config.file import Client, File, Route

_WILDCARD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = "example"


def chosen_route(written: File, client: Client, named: Route | None) -> Route | None:
    """The route that was named, or else the first that a name leads to and that the client may use."""
    if named is not None:
        return named
    usable = (one for one in written.routes if one.application_sets and any_matches(client.routes, one.name))
    return next(usable, None)


def application_set(
    written: File, client: Client, route: Route | None, connection: Connection, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """An ApplicationSet with a name and an input that lead to the route and fit it.

    Without a route: what the configuration lets backends claim.
    """
    patterns = route.application_sets if route is not None else _granted(written)
    name = _fitting_name(patterns or ["*"], client.application_sets)
    keys = "-".join(f"{{{{{_field(key)}}}}}" for key in _identifying_keys(route))
    plugin: dict[str, Any] = {"configMapRef": {"name": connection.config_map_name}}
    inputs = {**placeholders(route), **parameters}
    if inputs:
        plugin["input"] = {"parameters": inputs}
    plugin["requeueAfterSeconds"] = 60
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": name, "namespace": connection.namespace},
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            # An ApplicationSet of this name may exist: an example must not delete its Applications.
            "syncPolicy": {"applicationsSync": "create-update"},
            "generators": [{"plugin": plugin}],
            "template": _template(name, keys),
        },
    }


def _template(name: str, keys: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}-{keys}"},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example.com/org/repo.git", "targetRevision": "HEAD", "path": "chart"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": keys},
        },
    }


def placeholders(route: Route | None) -> dict[str, str]:
    """The inputs without which the hub refuses the question, or takes another route."""
    if route is None:
        return {}
    echoed = dict.fromkeys(route.echo, _PLACEHOLDER)
    return {**echoed, **{key: _filled(pattern, _PLACEHOLDER) for key, pattern in route.parameters.items()}}


def _granted(written: File) -> list[str]:
    return [pattern for backend in written.backends for pattern in backend.application_sets]


def _fitting_name(routed: Sequence[str], allowed: Sequence[str]) -> str:
    """A name that one pattern of each list matches, as far as filling one into the other finds it."""
    for one, other in product(routed, allowed):
        inner = (_PLACEHOLDER, _filled(other, _PLACEHOLDER), _filled(one, _PLACEHOLDER))
        found = (_filled(pattern, text) for text, pattern in product(inner, (one, other)))
        for name in found:
            if matcher(one)(name) and matcher(other)(name):
                return name
    return _filled(routed[0], _PLACEHOLDER)


def _filled(pattern: str, star: str) -> str:
    """A text that the pattern matches."""
    return _WILDCARD.sub(lambda found: star if found[0] == "*" else _character(found[0]), pattern)


def _character(wildcard: str) -> str:
    characters = (*string.ascii_lowercase, *string.digits, *string.printable)
    return next(filter(matcher(wildcard), characters), "x")


def _field(key: str) -> str:
    """How a Go template reads a key."""
    return f".{key}" if _IDENTIFIER.fullmatch(key) else f"index . {json.dumps(key, ensure_ascii=False)}"


def _identifying_keys(route: Route | None) -> Sequence[str]:
    """The keys that tell one parameter set from another, as far as the configuration knows."""
    if route is None:
        return ["name"]
    merged_on = route.combine.merge.on if isinstance(route.combine, Merge) else []
    required = [key for key in route.required_keys if key not in route.echo]
    return route.unique_by or merged_on or required[:1] or ["name"]

"""``appset-hub argocd``: what Argo CD needs to ask this hub, made from the hub's configuration."""

from __future__ import annotations

import base64
import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml

from hub.cli.options import WRONG_USE, config_option, parameters_option, parse_parameters, wrong_use
from hub.config.file import Client, File, Merge, Route
from hub.config.load import seconds
from hub.config.mistakes import ConfigurationError
from hub.config.read import read
from hub.core.patterns import any_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_BASE_URL = "http://appset-hub.appset-hub.svc.cluster.local.:4355"

_ARGO_CD_SECRET = "argocd-secret"  # noqa: S105 - the name of Argo CD's own Secret.
_KEY_IN_SECRET = "plugin.appset-hub.token"  # noqa: S105 - the name of a key in a Secret.

# Argo CD waits so much longer than the hub, and so reads the hub's own error.
_LONGER_S = 5

NamedT = TypeVar("NamedT", Client, Route)


@click.group()
def argocd() -> None:
    """Connect Argo CD to this hub."""


@argocd.command()
@config_option
@click.option("--route", "route_name", metavar="NAME", help="Put this route into the path of the baseUrl.")
@click.option("--client", "client_name", metavar="NAME", help="Whose token; without it that of the first client.")
@click.option("--base-url", default=DEFAULT_BASE_URL, show_default=True, help="Where Argo CD reaches the hub.")
@click.option("--namespace", default="argocd", show_default=True, help="The namespace of Argo CD.")
@click.option(
    "--secret",
    default="appset-hub",
    show_default=True,
    metavar="NAME",
    help=f"The Secret that holds the token; {_ARGO_CD_SECRET} is Argo CD's own.",
)
@click.option("--show-token", is_flag=True, help="Put the token into the Secret, instead of how to do it.")
@parameters_option
def manifests(  # noqa: PLR0913 - each is an option of the command.
    *,
    config_path: Path | None,
    route_name: str | None,
    client_name: str | None,
    base_url: str,
    namespace: str,
    secret: str,
    show_token: bool,
    pairs: Sequence[str],
) -> None:
    """Print the ConfigMap, the Secret and an example ApplicationSet for a configuration."""
    written = _read(config_path)
    client = _named("client", written.clients, client_name)
    route = _named("route", written.routes, route_name) if route_name is not None else None
    if route is not None and not any_matches(tuple(client.routes), route.name):
        wrong_use(f'client "{client.name}" may not use route "{route.name}"; see "routes" of the client')
    parameters = parse_parameters(pairs)
    token_file = (config_path.parent if config_path is not None else Path()) / client.tokens[0].file
    token = _encoded_token(token_file, client.tokens[0].file) if show_token else None
    name = "appset-hub" if route is None else f"appset-hub-{route.name}"
    where = {"namespace": namespace}
    data = {
        "token": f"${_KEY_IN_SECRET}" if secret == _ARGO_CD_SECRET else f"${secret}:{_KEY_IN_SECRET}",
        "baseUrl": base_url.rstrip("/") + (f"/{route.name}" if route is not None else ""),
        "requestTimeout": str(_request_timeout_s(written, route)),
    }
    _print("", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **where}, "data": data})
    held: dict[str, Any] = {"metadata": {"name": secret, **where, "labels": _secret_labels(secret)}, "type": "Opaque"}
    if token is not None:
        held["data"] = {_KEY_IN_SECRET: token}
    how = _how_to_fill(secret, namespace, token_file) if token is None else ""
    _print(how, {"apiVersion": "v1", "kind": "Secret", **held})
    _print(
        "# An example: the template's keys are those of your parameter sets.\n",
        _example(written, route, name, where, parameters),
    )


def _read(path: Path | None) -> File:
    """The configuration as it is written; its secrets need not be on this machine."""
    try:
        written = read(path, os.environ, {})
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(WRONG_USE) from error
    if not written.clients:
        wrong_use("the configuration has no client, so that nobody may call; name one under clients")
    return written


def _named(kind: str, entries: Sequence[NamedT], name: str | None) -> NamedT:
    if name is None:
        return entries[0]
    found = next((entry for entry in entries if entry.name == name), None)
    return found if found is not None else wrong_use(f'the configuration has no {kind} "{name}"')


def _request_timeout_s(written: File, route: Route | None) -> int:
    routes = written.routes if route is None else [route]
    deadlines = [one.deadline or written.deadline for one in routes] + ([written.deadline] if route is None else [])
    return math.ceil(max(map(seconds, deadlines))) + _LONGER_S


def _secret_labels(secret: str) -> dict[str, str]:
    # Argo CD reads a token only from Secrets with this label.
    labels = {"app.kubernetes.io/part-of": "argocd"}
    return {"app.kubernetes.io/name": _ARGO_CD_SECRET, **labels} if secret == _ARGO_CD_SECRET else labels


def _encoded_token(file: Path, written: str) -> str:
    try:
        return base64.b64encode(file.read_bytes().strip()).decode()
    except OSError as error:
        wrong_use(f'cannot read "{written}": {error.strerror}')


def _how_to_fill(secret: str, namespace: str, token_file: Path) -> str:
    # Without the file nothing is patched, for an empty token would be taken.
    return (
        "# Without the token, which is not shown (--show-token). After this is applied, where the token's file is:\n"
        f"#   token=$(cat {shlex.quote(str(token_file))}) &&\n"
        f"#   kubectl --namespace {namespace} patch secret {secret} --patch \\\n"
        f'#     "{{\\"stringData\\": {{\\"{_KEY_IN_SECRET}\\": \\"$token\\"}}}}"\n'
    )


def _example(
    written: File, route: Route | None, config_map: str, where: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """An ApplicationSet that goes to the route, or to what the configuration names first."""
    shown = route if route is not None else next((one for one in written.routes if one.application_sets), None)
    patterns = [*(shown.application_sets if shown is not None else ())]
    if shown is None:
        patterns = [pattern for backend in written.backends for pattern in backend.application_sets]
    name = _fitting(patterns[0]) if patterns else "example"
    key = _identifying_key(shown)
    plugin: dict[str, Any] = {"configMapRef": {"name": config_map}}
    routed = {one: _fitting(pattern) for one, pattern in shown.parameters.items()} if shown is not None else {}
    if routed or parameters:
        plugin["input"] = {"parameters": {**routed, **parameters}}
    plugin["requeueAfterSeconds"] = 60
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": name, **where},
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [{"plugin": plugin}],
            "template": {
                "metadata": {"name": f"{name}-{{{{.{key}}}}}"},
                "spec": {
                    "project": "default",
                    "source": {
                        "repoURL": "https://git.example.com/org/repo.git",
                        "targetRevision": "HEAD",
                        "path": "chart",
                    },
                    "destination": {"server": "https://kubernetes.default.svc", "namespace": f"{{{{.{key}}}}}"},
                },
            },
        },
    }


def _fitting(pattern: str) -> str:
    """A text that the pattern matches, if only stars are in it."""
    return pattern.replace("*", "example")


def _identifying_key(route: Route | None) -> str:
    """The key that tells one parameter set from another, as far as the configuration knows."""
    if route is None:
        return "name"
    merged_on = route.combine.merge.on if isinstance(route.combine, Merge) else []
    return next(iter([*route.unique_by, *merged_on, *route.required_keys]), "name")


def _print(comment: str, document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    click.echo(f"---\n{comment}{text}", nl=False)

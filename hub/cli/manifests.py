"""``appset-hub argocd``: what Argo CD needs to call this hub, made from the hub's configuration."""

from __future__ import annotations

import json
import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import yaml

from hub.cli.connection import ARGO_CD_SECRET, DEFAULT_BASE_URL, OWN_SECRET, Connection
from hub.cli.example import application_set, chosen_route, placeholders
from hub.cli.options import WRONG_USE, config_option, parameters_option, parse_parameters, wrong_use
from hub.cli.printing import say
from hub.config.file import Client, File, Route
from hub.config.load import seconds
from hub.config.mistakes import ConfigurationError
from hub.config.read import read
from hub.core.patterns import any_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

# Argo CD waits this much longer than the hub, and so reads the hub's own error.
_LONGER_S = 5

NamedT = TypeVar("NamedT", Client, Route)

client_option = click.option(
    "--client",
    "client_name",
    metavar="NAME",
    help="Use this client's token, with a separate ConfigMap and key. Default: the first client.",
)
namespace_option = click.option("--namespace", default="argocd", show_default=True, help="Argo CD's namespace.")
secret_option = click.option(
    "--secret",
    default=OWN_SECRET,
    show_default=True,
    metavar="NAME",
    help=f"The Secret for the token. One that the hub does not own, such as {ARGO_CD_SECRET}, is only ever patched.",
)


class _Configuration(NamedTuple):
    """What the options choose in the configuration."""

    path: Path | None
    written: File
    client: Client
    route: Route | None

    @property
    def token_file(self) -> Path:
        """The client's first token."""
        return (self.path.parent if self.path is not None else Path()) / self.client.tokens[0].file


@click.group()
def argocd() -> None:
    """Connect Argo CD to this hub."""


@argocd.command()
@config_option
@click.option("--route", "route_name", metavar="NAME", help="Put this route into the path of the baseUrl.")
@client_option
@click.option("--base-url", default=DEFAULT_BASE_URL, show_default=True, help="Where Argo CD reaches the hub.")
@namespace_option
@secret_option
@click.option("--show-token", is_flag=True, help="Also print the hub's own Secret, which holds the token.")
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
    """Print a ConfigMap and an example ApplicationSet for this hub, and the command that sets the token."""
    chosen = _chosen(config_path, client_name, route_name)
    connection = _connection(chosen, client_name, namespace, secret, base_url)
    parameters = parse_parameters(pairs)
    if show_token and not connection.owns_secret:
        wrong_use(
            f'--show-token prints a whole Secret, which would replace "{secret}"; leave it out, and run the printed '
            "command instead"
        )
    if show_token:
        _print([], connection.own_secret(_token(chosen)))
        _print([], connection.config_map())
    else:
        _print(_how_to_set_the_token(connection, chosen), connection.config_map())
    route = chosen_route(chosen.written, chosen.client, chosen.route)
    example = application_set(chosen.written, chosen.client, route, connection, parameters)
    _print(_about_the_example(placeholders(route).keys() - parameters.keys()), example)


@argocd.command("secret")
@config_option
@client_option
@namespace_option
@secret_option
def print_secret(*, config_path: Path | None, client_name: str | None, namespace: str, secret: str) -> None:
    """Print the token as a Secret for kubectl, or, with --secret NAME, as a patch of one key of that Secret.

    Pipe the Secret to "kubectl apply --filename -", and the patch to "kubectl patch secret NAME --type merge
    --patch-file /dev/stdin".
    """
    chosen = _chosen(config_path, client_name, None)
    connection = _connection(chosen, client_name, namespace, secret, DEFAULT_BASE_URL)
    token = _token(chosen)
    if connection.owns_secret:
        _print([], connection.own_secret(token))
    else:
        click.echo(json.dumps(connection.patch(token)))


def _chosen(path: Path | None, client_name: str | None, route_name: str | None) -> _Configuration:
    """Read the configuration; its secrets need not be on this machine."""
    try:
        written = read(path, os.environ, {})
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(WRONG_USE) from error
    if not written.clients:
        wrong_use("the configuration has no client, so every call would be refused; add one under clients")
    client = _named("client", written.clients, client_name)
    route = _named("route", written.routes, route_name) if route_name is not None else None
    if route is not None and not any_matches(tuple(client.routes), route.name):
        wrong_use(f'client "{client.name}" may not use route "{route.name}"; see "routes" of the client')
    return _Configuration(path, written, client, route)


def _named(kind: str, entries: Sequence[NamedT], name: str | None) -> NamedT:
    if name is None:
        return entries[0]
    found = next((entry for entry in entries if entry.name == name), None)
    return found if found is not None else wrong_use(f'the configuration has no {kind} "{name}"')


def _connection(
    chosen: _Configuration, client_name: str | None, namespace: str, secret: str, base_url: str
) -> Connection:
    try:
        return Connection(
            namespace=namespace,
            base_url=base_url,
            request_timeout_s=_request_timeout_s(chosen.written, chosen.route),
            client=client_name or "",
            route=chosen.route.name if chosen.route is not None else "",
            # The default is the own Secret of whichever client is meant.
            secret="" if secret == OWN_SECRET else secret,
        )
    except ValueError as error:
        wrong_use(str(error))


def _request_timeout_s(written: File, route: Route | None) -> int:
    routes = written.routes if route is None else [route]
    deadlines = [one.deadline or written.deadline for one in routes] + ([written.deadline] if route is None else [])
    return math.ceil(max(map(seconds, deadlines))) + _LONGER_S


def _token(chosen: _Configuration) -> str:
    """The client's token. One that the hub would not take is not set anywhere, least of all an empty one."""
    written = chosen.client.tokens[0].file
    try:
        token = chosen.token_file.read_bytes().decode("ascii").strip()
    except OSError as error:
        wrong_use(f'cannot read "{written}": {error.strerror}')
    except UnicodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        wrong_use(f'"{written}" must hold one token, of printable ASCII without spaces')
    return token


def _how_to_set_the_token(connection: Connection, chosen: _Configuration) -> list[str]:
    command = ["appset-hub", "argocd", "secret"]
    command += ["--config", str(chosen.path)] if chosen.path is not None else []
    command += ["--client", connection.client] if connection.client else []
    where = ["--namespace", connection.namespace]
    name = connection.secret_name
    if connection.owns_secret:
        return [
            f'The Secret "{name}" is not printed, because it holds the token. Create it first, on a machine',
            f"that has {chosen.token_file}:",
            f"  {shlex.join([*command, *where])} | kubectl apply --filename -",
        ]
    patch = ["kubectl", *where, "patch", "secret", name, "--type", "merge", "--patch-file", "/dev/stdin"]
    label = ["kubectl", *where, "label", "secret", name, "app.kubernetes.io/part-of=argocd"]
    return [
        f'The token goes into the Secret "{name}", which the hub does not own. Set its key first, on a machine that',
        f"has {chosen.token_file}; all other keys stay unchanged:",
        f"  {shlex.join([*command, '--secret', name])} |",
        f"  {shlex.join(patch)}",
        *([] if name == ARGO_CD_SECRET else ["Argo CD reads it only with this label:", f"  {shlex.join(label)}"]),
    ]


def _about_the_example(missing: set[str]) -> list[str]:
    inputs = ", ".join(sorted(missing))
    return [
        "An example: fill in your repository, and the keys of your parameter sets. With create-update, Argo CD",
        "deletes no Application; remove syncPolicy once the Applications are right.",
        *([f"The route needs these inputs; replace the placeholders: {inputs}"] if inputs else []),
    ]


def _print(comment: Sequence[str], document: dict[str, Any]) -> None:
    """Print a document below its comment. A path or a key with a line break must not end a comment's line."""
    click.echo("---")
    for line in comment:
        say(f"# {line}")
    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000), nl=False)

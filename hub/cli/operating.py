"""``appset-hub routes``, ``explain`` and ``backends``: what a running hub knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click
import msgspec

from hub.cli.asking import ask, url_of
from hub.cli.options import (
    config_option,
    failed,
    json_option,
    parameters_option,
    parse_parameters,
    settings_or_exit,
    wrong_use,
)
from hub.cli.printing import print_json, print_table
from hub.config.load import Source

if TYPE_CHECKING:
    from collections.abc import Callable


class Operator(msgspec.Struct, frozen=True):
    """Whom to ask, and with what token."""

    url: str
    token: str = ""

    def get(self, path: str) -> Any:
        """Read from the admin API."""
        return ask(self.url + path, token=self.token)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Change something."""
        return ask(self.url + path, body=body, token=self.token, method="POST")


def operator_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that find a running hub."""
    command = click.option(
        "--admin-token-file",
        type=click.Path(path_type=Path),
        envvar="HUB_ADMIN_TOKEN_FILE",
        help="The admin token; without it, the configuration's first.",
    )(command)
    command = click.option("--admin", "admin_url", default="", envvar="HUB_ADMIN", help="The URL of its admin port.")(
        command
    )
    return config_option(json_option(command))


def find(config_path: Path | None, admin_url: str, token_file: Path | None) -> Operator:
    """The hub that the options name."""
    token = ""
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except OSError as error:
            wrong_use(f'cannot read "{token_file}": {error.strerror}')
    if admin_url:
        return Operator(admin_url.rstrip("/"), token)
    if config_path is None:
        wrong_use("needs --config FILE or --admin URL to find the hub")
    settings = settings_or_exit(Source(path=config_path))
    return Operator(url_of(settings.listen.admin), token or next(iter(settings.admin_tokens), ""))


@click.command()
@operator_options
def routes(config_path: Path | None, admin_url: str, admin_token_file: Path | None, *, as_json: bool) -> None:
    """List the configured routes, in the order in which they are tried."""
    found = find(config_path, admin_url, admin_token_file).get("/api/routes")
    if as_json:
        print_json(found)
        return
    print_table(
        ("ROUTE", "APPLICATION SETS", "BACKENDS", "COMBINE", "DEADLINE"),
        [
            (
                one["name"],
                ", ".join(one["application_sets"]) or "(by path only)",
                ", ".join(one["backends"]),
                one["combine"],
                f"{one['deadline_s']:g} s",
            )
            for one in found
        ],
        empty="no routes are configured; names go to the backends that claim them",
    )


@click.command()
@click.argument("name")
@parameters_option
@click.option("--route", default="", help="As a baseUrl with this route in its path.")
@operator_options
def explain(  # noqa: PLR0913 - a command's options
    name: str,
    *,
    pairs: tuple[str, ...],
    route: str,
    config_path: Path | None,
    admin_url: str,
    admin_token_file: Path | None,
    as_json: bool,
) -> None:
    """Say which backends answer for the ApplicationSet NAME, and why."""
    query = {"name": name, "route": route, "parameters": msgspec.json.encode(parse_parameters(pairs)).decode()}
    found = find(config_path, admin_url, admin_token_file).get(f"/api/explain?{urlencode(query)}")
    if as_json:
        print_json(found)
        return
    for step in found["steps"]:
        click.echo(f"- {step}")
    if found["refusal"]:
        failed(found["refusal"])
    click.echo(f"route {found['route']}: {found['combine']} of {', '.join(found['backends'])}")
    if found["absent"]:
        click.echo(f"not connected now: {', '.join(found['absent'])}")


@click.group(invoke_without_command=True)
@operator_options
@click.pass_context
def backends(
    context: click.Context, config_path: Path | None, admin_url: str, admin_token_file: Path | None, *, as_json: bool
) -> None:
    """List the backends, or make the hub forget what one claimed."""
    if context.invoked_subcommand is None:
        _show_backends(find(config_path, admin_url, admin_token_file), as_json=as_json)


@backends.command(name="list")
@operator_options
def list_backends(config_path: Path | None, admin_url: str, admin_token_file: Path | None, *, as_json: bool) -> None:
    """List the backends that the configuration knows, and their instances."""
    _show_backends(find(config_path, admin_url, admin_token_file), as_json=as_json)


def _show_backends(operator: Operator, *, as_json: bool) -> None:
    found = operator.get("/api/backends")
    if as_json:
        print_json(found)
        return
    print_table(
        ("BACKEND", "STATE", "CLAIMS", "NOT GRANTED", "KIND", "INSTANCE", "IN FLIGHT"),
        [
            (
                backend["name"],
                one.get("state", backend["state"]),
                ", ".join(backend["claimed"]) or "-",
                ", ".join(backend["ignored"]) or "-",
                one["kind"],
                one["instance"],
                str(one["in_flight"]),
            )
            for backend in found
            for one in backend["instances"] or [{"kind": "-", "instance": "-", "in_flight": 0}]
        ],
        empty="no backends are configured",
    )
    for backend in found:
        if backend["ignored"]:
            click.echo(_ignored_text(backend), err=True)


def _ignored_text(backend: dict[str, Any]) -> str:
    claims = ", ".join(f'"{pattern}"' for pattern in backend["ignored"])
    return (
        f'warning: backend "{backend["name"]}" claims {claims}, which its grant excludes, so its names get '
        "a 404 unless a route serves them; "
        f'add it to application_sets of backend "{backend["name"]}" in hub.yaml, or remove it from the backend'
    )


@backends.command()
@click.argument("name")
@operator_options
def forget(
    name: str, *, config_path: Path | None, admin_url: str, admin_token_file: Path | None, as_json: bool
) -> None:
    """Forget what the backend NAME claimed, so that its sets are no longer waited for.

    Argo CD then deletes the Applications that came from it alone. What its connected instances claim stays.
    """
    found = find(config_path, admin_url, admin_token_file).post(f"/api/backends/{quote(name, safe='')}/forget")
    if as_json:
        print_json(found)
    elif found["forgotten"]:
        click.echo(f"forgotten: {', '.join(found['forgotten'])}")
    else:
        click.echo("there was nothing to forget")

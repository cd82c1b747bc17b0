"""``appset-hub call``: calls a hub as Argo CD does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import msgspec

from hub.cli.asking import Port, read, refusal, send
from hub.cli.discovery import CA_HELP, configuration, timeout_option, token_in, url_of
from hub.cli.options import (
    config_option,
    could_not_find_out,
    failed,
    json_option,
    parameters_option,
    parse_parameters,
    wrong_use,
)
from hub.cli.printing import cell, print_json, print_table
from hub.core.errors import TokenMissing
from hub.core.question import GETPARAMS

if TYPE_CHECKING:
    from hub.cli.discovery import Configured
    from hub.config.file import Client

_TIMEOUT_S = 60  # Longer than any deadline that suits Argo CD.
_OK = 200


class _Output(msgspec.Struct, frozen=True):
    parameters: list[dict[str, Any]]


class _Answer(msgspec.Struct, frozen=True):
    """The body of a 200."""

    output: _Output


@click.command()
@click.argument("name")
@parameters_option
@click.option("--route", default="", metavar="NAME", help="Use this route, as a baseUrl that ends with its name does.")
@click.option("--url", default="", help="The hub's baseUrl; default: listen.http in the configuration.")
@config_option
@click.option(
    "--client", "client_name", default="", metavar="NAME", help="Use the token of this client in the configuration."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the client's token; default: that of the configuration's first client, or none with --url.",
)
@click.option("--ca-file", type=click.Path(path_type=Path), help=CA_HELP)
@timeout_option(_TIMEOUT_S)
@json_option
def call(  # noqa: PLR0913 - a command's options
    name: str,
    *,
    pairs: tuple[str, ...],
    route: str,
    url: str,
    config_path: Path | None,
    client_name: str,
    token_file: Path | None,
    ca_file: Path | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Request the parameter sets of the ApplicationSet NAME, as Argo CD does, and print them."""
    parameters = parse_parameters(pairs)
    body = {"applicationSetName": name, "input": {"parameters": parameters} if parameters else {}}
    token = token_in(token_file, "--token-file") if token_file is not None else ""
    base_url, found, certificate = url, "--url", ""
    if not url:
        configured = configuration(config_path, "--url")
        written = configured.written
        base_url = url_of(written.listen.http, "listen.http", tls=written.tls.http is not None)
        found, token = configured.found, token or _client_token(configured, client_name)
        certificate = configured.certificate(written.tls.http)
    elif client_name:
        wrong_use("--client needs a configuration; with --url use --token-file")
    port = Port(url=base_url, found=found, timeout_s=timeout_s, ca_file=ca_file, certificate=certificate)
    sets = _sets(port, f"/{quote(route, safe='')}{GETPARAMS}" if route else GETPARAMS, body, token)
    if as_json:
        print_json(sets)
    else:
        _print_sets(sets)


def _client_token(configured: Configured, name: str) -> str:
    clients = configured.written.clients
    if not clients and not name:
        return ""
    client = _client(clients, name)
    return configured.token(client.tokens[0], f'tokens[0] of client "{client.name}"')


def _client(clients: list[Client], name: str) -> Client:
    found = next((one for one in clients if not name or one.name == name), None)
    return found if found is not None else wrong_use(f'the configuration has no client "{name}"')


def _sets(port: Port, path: str, body: dict[str, Any], token: str) -> list[dict[str, Any]]:
    """The parameter sets; whatever else a hub says is its no, for Argo CD would get the same."""
    reply = send(port, "POST", path, body=body, token=token)
    if reply.status == _OK:
        return read(reply, _Answer, port).output.parameters
    said = refusal(reply)
    if said is None:
        could_not_find_out(
            f"what answers at {port} is not a hub: status {reply.status}, {reply.kind or 'no content type'}"
        )
    if said.error == TokenMissing.reason and not token:
        return failed(f"{reply.status}: no token was sent; use --config FILE, or --token-file FILE")
    return failed(f"{reply.status}: {said.message}")


def _print_sets(sets: list[dict[str, Any]]) -> None:
    heads = list(dict.fromkeys(key for one in sets for key in one))
    rows = [[cell(one[key]) if key in one else "" for key in heads] for one in sets]
    print_table(heads, rows, empty="no parameter sets: Argo CD would delete every Application of this ApplicationSet")

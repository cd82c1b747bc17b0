"""``appset-hub call``: asks a hub as Argo CD does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from hub.cli.printing import cell, print_json, print_table
from hub.config.load import Source
from hub.core.question import GETPARAMS

if TYPE_CHECKING:
    from hub.core.settings import ClientTokens


@click.command()
@click.argument("name")
@parameters_option
@click.option("--route", default="", help="Ask this route, as a baseUrl with its name in the path does.")
@config_option
@click.option("--client", "client_name", default="", help="Whose token to use, if the configuration has several.")
@click.option("--url", default="", help="The hub's baseUrl, instead of a configuration.")
@click.option("--token-file", type=click.Path(path_type=Path), help="The token for --url.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="The CA of the hub's certificate, if it has one.")
@json_option
def call(  # noqa: PLR0913 - a command's options
    name: str,
    *,
    pairs: tuple[str, ...],
    route: str,
    config_path: Path | None,
    client_name: str,
    url: str,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Ask for the parameter sets of the ApplicationSet NAME, and print them."""
    base_url, token = _target(config_path, client_name, url, token_file)
    parameters = parse_parameters(pairs)
    body = {"applicationSetName": name, "input": {"parameters": parameters} if parameters else {}}
    path = f"/{route}{GETPARAMS}" if route else GETPARAMS
    answer = ask(base_url.rstrip("/") + path, body=body, token=token, method="POST", ca_file=ca_file)
    sets = _sets(answer)
    if as_json:
        print_json(sets)
    else:
        _print_sets(sets)


def _target(config_path: Path | None, client_name: str, url: str, token_file: Path | None) -> tuple[str, str]:
    if url:
        if token_file is None:
            return url, ""
        try:
            return url, token_file.read_text().strip()
        except OSError as error:
            wrong_use(f'cannot read "{token_file}": {error.strerror}')
    if config_path is None:
        wrong_use("needs --config FILE, or --url URL and --token-file FILE")
    settings = settings_or_exit(Source(path=config_path))
    client = _client(settings.clients, client_name)
    return url_of(settings.listen.http, tls=settings.http_tls is not None), client.tokens[0]


def _client(clients: tuple[ClientTokens, ...], name: str) -> ClientTokens:
    for one in clients:
        if not name or one.client.name == name:
            return one
    wrong_use(f'the configuration has no client "{name}"')
    return None


def _sets(answer: Any) -> list[dict[str, Any]]:
    try:
        sets: list[dict[str, Any]] = answer["output"]["parameters"]
    except (KeyError, TypeError):
        failed("the answer is not one of a hub")
    return sets


def _print_sets(sets: list[dict[str, Any]]) -> None:
    heads = list(dict.fromkeys(key for one in sets for key in one))
    rows = [[cell(one[key]) if key in one else "" for key in heads] for one in sets]
    print_table(heads, rows, empty="no parameter sets: Argo CD would delete every Application of this ApplicationSet")

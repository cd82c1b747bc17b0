"""``appset-hub config``: checked, shown, and described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
import msgspec
import yaml

from hub.cli.options import WRONG_USE, config_option, json_option, override_options, settings_or_exit
from hub.cli.printing import print_json
from hub.config.file import File
from hub.config.load import Source, load
from hub.config.mistakes import ConfigurationError
from hub.config.read import read

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def config() -> None:
    """Check, show or describe the configuration."""


@config.command()
@config_option
@json_option
@override_options
def check(config_path: Path | None, *, as_json: bool, flags: dict[str, str]) -> None:
    """Find every mistake, without starting anything."""
    source = Source(path=config_path, flags=flags)
    if not as_json:
        settings = settings_or_exit(source)
        click.echo(
            f"ok: {len(settings.clients)} clients, {len(settings.backends)} backends, {len(settings.routes)} routes"
        )
        return
    try:
        load(source)
    except ConfigurationError as error:
        print_json([{"path": mistake.path, "reason": mistake.reason} for mistake in error.mistakes])
        raise SystemExit(WRONG_USE) from error
    print_json([])


@config.command()
@config_option
@json_option
@override_options
def show(config_path: Path | None, *, as_json: bool, flags: dict[str, str]) -> None:
    """Print the settings in force, defaults and overrides included. Secrets are files, and not read here."""
    try:
        written = msgspec.to_builtins(read(config_path, os.environ, flags))
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(WRONG_USE) from error
    if as_json:
        print_json(written)
    else:
        click.echo(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
@json_option
def schema(*, as_json: bool) -> None:  # noqa: ARG001 - a schema is JSON either way.
    """Print the JSON Schema of hub.yaml, for editors."""
    print_json(msgspec.json.schema(File))

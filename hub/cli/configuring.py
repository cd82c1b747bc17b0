"""``appset-hub config``: checked, shown, and described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
import msgspec
import yaml

from hub.cli.options import WRONG_USE, config_option, json_option, override_options
from hub.cli.printing import print_json
from hub.config import load
from hub.config.file import File
from hub.config.mistakes import ConfigurationError, Mistake, limited
from hub.config.read import read

if TYPE_CHECKING:
    from pathlib import Path

    from hub.core.settings import Settings

_DOUBTFUL = 1  # With --strict: the answer is no.


@click.group()
def config() -> None:
    """Check, show or describe the configuration."""


@config.command()
@config_option
@click.option("--offline", is_flag=True, help="Check hub.yaml alone, without secrets, certificates and store; for CI.")
@click.option("--strict", is_flag=True, help="Exit with 1 if there are warnings.")
@json_option
@override_options
def check(config_path: Path | None, *, offline: bool, strict: bool, as_json: bool, flags: dict[str, str]) -> None:
    """Report every error in the configuration, without starting the hub.

    Exits with 0 if there are no errors, with 2 otherwise. Warnings are about settings that are allowed but probably not
    intended, hints about what could be better.
    """
    report = load.check(load.Source(path=config_path, flags=flags), offline=offline)
    if as_json:
        print_json(
            [_described(one, "error") for one in report.errors]
            + [_described(one, "warning") for one in report.warnings]
            + [_described(one, "hint") for one in report.hints]
        )
    else:
        _print(report)
    if report.errors:
        raise SystemExit(WRONG_USE)
    if strict and report.warnings:
        raise SystemExit(_DOUBTFUL)


def _print(report: load.Report) -> None:
    lines = [str(one) for one in report.errors] + [one.shown("warning") for one in report.warnings]
    if not report.errors:
        lines += [one.shown("hint") for one in report.hints]
    for line in limited(lines):
        click.echo(line, err=True)
    if report.settings is not None and not report.errors:
        click.echo(f"ok: {_counted(report.settings)}")


def _counted(settings: Settings) -> str:
    counts = {"client": settings.clients, "backend": settings.backends, "route": settings.routes}
    return ", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts.items())


def _described(mistake: Mistake, severity: str) -> dict[str, Any]:
    return {
        "severity": severity,
        "file": mistake.file or None,
        "line": mistake.line,
        "column": mistake.column,
        "path": mistake.path,
        "reason": mistake.reason,
    }


@config.command()
@config_option
@json_option
@override_options
def show(config_path: Path | None, *, as_json: bool, flags: dict[str, str]) -> None:
    """Print all settings, including defaults and overrides. Files with secrets are named, not read."""
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

"""The command `appset-hub-backend`: runs one bundled backend.

Each kind becomes a subcommand with the same options; a new kind is one line in `KINDS`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import appset_hub
import click
import uvloop

from backends import http_plugin, logs, oci, static
from backends.mistakes import Mistake
from backends.new import new
from backends.sdk import sdk

if TYPE_CHECKING:
    from backends.bundle import Bundle, Kind

KINDS: tuple[Kind, ...] = (static.KIND, oci.KIND, http_plugin.KIND)

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a bundled backend of AppSet Hub."""


class ConfigurationError(click.ClickException):
    """A mistake in the configuration: one line, and exit code 2."""

    exit_code = 2


def _command(kind: Kind) -> click.Command:
    """Return the subcommand of one kind."""

    def print_schema(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature.
        if wanted and not context.resilient_parsing:
            click.echo(json.dumps(kind.schema(), indent=2))
            context.exit()

    def start(**options: Any) -> None:
        _run(kind, **options)

    options = [
        click.Option(["--config"], type=_FILE, required=True, help="The configuration of this backend."),
        click.Option(["--hub"], metavar="HOST:PORT", help="The hub to attach to, or to register with."),
        click.Option(["--listen"], metavar="HOST:PORT", help="Be dialled by the hub instead of attaching to it."),
        click.Option(["--address"], metavar="HOST:PORT", help="Where the hub finds this backend, with --listen."),
        click.Option(["--name"], default=kind.name, show_default=True, help="The backend's name at the hub."),
        click.Option(["--token-file"], type=_FILE, help="Holds the token that the hub expects."),
        click.Option(["--ca-file"], type=_FILE, help="CA that signed the hub's certificate; turns on TLS."),
        click.Option(["--cert-file"], type=_FILE, help="This backend's certificate."),
        click.Option(["--key-file"], type=_FILE, help="The key of that certificate."),
        click.Option(["--client-ca-file"], type=_FILE, help="With --listen: who may dial."),
        click.Option(
            ["--proxy-from-environment"],
            is_flag=True,
            help="Connect to the hub through the proxy that grpc_proxy, https_proxy or http_proxy names.",
        ),
        click.Option(["--admin"], metavar="HOST:PORT", help="Serve /livez, /readyz and /metrics there."),
        click.Option(
            ["--grace", "grace_s"],
            type=click.FloatRange(min=0),
            default=25.0,
            show_default=True,
            metavar="SECONDS",
            help="How long questions in flight may still take on SIGTERM.",
        ),
        click.Option(["--log-format"], type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.Option(
            ["--print-schema"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=print_schema,
            help="Print the JSON Schema of the configuration, and exit.",
        ),
    ]
    return click.Command(kind.name, callback=start, params=[*options], help=kind.summary)


def _run(kind: Kind, *, config: Path, name: str, log_format: str, admin: str | None, **where: Any) -> None:
    logs.set_up(log_format)
    if where["hub"] is None and where["listen"] is None:
        where["hub"] = appset_hub.DEFAULT_HUB
    try:
        bundle = kind.open(config)
        connection = appset_hub.Connection(**where)
        uvloop.run(_serve(bundle, kind, name, connection, admin))
    except (Mistake, appset_hub.InvalidSettings) as mistake:
        _refuse(mistake)


async def _serve(bundle: Bundle, kind: Kind, name: str, connection: appset_hub.Connection, admin: str | None) -> None:
    from backends.admin import QuestionMetrics, admin_port  # noqa: PLC0415 - slow to import, and other commands do without.

    metrics = QuestionMetrics(kind.name)
    backend = appset_hub.Backend(
        function=metrics.measured(bundle.answer),
        name=name,
        application_sets=bundle.application_sets,
        version=_version(),
    )
    watching = asyncio.create_task(bundle.watch())
    try:
        with appset_hub.stop_on_signal() as stop:
            async with appset_hub.running(backend, connection) as served, admin_port(admin, metrics, served):
                await served.until(stop)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _refuse(mistake: Exception) -> NoReturn:
    raise ConfigurationError(str(mistake)) from mistake


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and needed once.

    return version("appset-hub")


for _kind in KINDS:
    main.add_command(_command(_kind))
main.add_command(new)
main.add_command(sdk)

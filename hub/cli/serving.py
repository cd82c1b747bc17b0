"""``appset-hub serve``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from hub import __version__
from hub.cli.options import config_option, could_not_find_out, failed, override_options, settings_or_exit
from hub.config.load import Source
from hub.core.errors import StoreFailed
from hub.rpc.options import choose_engine
from hub.service.ports import Fatal

if TYPE_CHECKING:
    from pathlib import Path

_DEV_WARNING = "--dev: any program on this machine may call this hub and register any backend. Use it on a laptop only."


@click.command()
@config_option
@click.option("--dev", is_flag=True, help="For a laptop only: listen on loopback, and require no tokens.")
@override_options
def serve(config_path: Path | None, *, dev: bool, flags: dict[str, str]) -> None:
    """Run the hub until SIGTERM or Ctrl-C."""
    _check_sdk()
    choose_engine()
    # Here, and not above: the other commands start in a third of the time without a hub in them.
    from hub import main as hub_main  # noqa: PLC0415
    from hub.cli.ports import ports_of_hub, refusals  # noqa: PLC0415
    from hub.rpc.server import CannotListen  # noqa: PLC0415
    from hub.store.sqlite import CannotOpenStore  # noqa: PLC0415

    source = Source(path=config_path, flags=flags, dev=dev)
    settings = settings_or_exit(source)
    if dev:
        click.secho(f"WARNING: {_DEV_WARNING}", fg="red", bold=True, err=True)
    where = str(config_path) if config_path is not None else "the defaults"
    if found := refusals(ports_of_hub(settings), where=where, flags=flags):
        failed(*found)
    try:
        hub_main.run(source, settings)
    except hub_main.Defect as error:
        could_not_find_out(str(error))
    except (CannotListen, CannotOpenStore, Fatal, StoreFailed) as error:
        failed(str(error))


def _check_sdk() -> None:
    """The hub ships the SDK. If it was also installed separately, it may be another version, or be uninstalled."""
    remedy = "reinstall appset-hub in its own environment"
    if find_spec("appset_hub") is None:
        failed(f'the package "appset_hub" is missing; "appset-hub-sdk" was uninstalled from this environment: {remedy}')
    try:
        other = version("appset-hub-sdk")
    except PackageNotFoundError:
        return
    if other != __version__:
        failed(f"appset-hub-sdk {other} is installed in the environment of appset-hub {__version__}: {remedy}")

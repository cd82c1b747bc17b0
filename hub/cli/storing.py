"""``appset-hub store``: is the hub's store initialised and sound, and the decision to start with an empty one."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from hub.cli.discovery import configuration, operator_options
from hub.cli.login import by_option
from hub.cli.options import NO, could_not_find_out, failed, json_option, wrong_use
from hub.cli.options import config_option as the_config_option
from hub.cli.printing import moment, print_json
from hub.config.addresses import SQLITE
from hub.config.file import Store
from hub.core.errors import HubError
from hub.service.keeping import Initialised, StoreView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.cli.discovery import Operator


@click.group()
def store() -> None:
    """Look at the hub's store, or start with an empty one.

    The store has what answers are compared to. A hub whose configuration expects an initialised store answers nothing
    from an empty one, because that may be a loss.
    """


@store.command()
@operator_options
def status(hub: Operator, *, as_json: bool) -> None:
    """Show whether the running hub's store is initialised and there."""
    found = hub.get("/api/store", StoreView)
    if as_json:
        print_json(found)
    elif found.state == "initialised":
        lasts = "" if found.lasting else "; it is in memory: baselines are lost when the hub stops"
        click.echo(f"initialised: store {found.id}, since {moment(found.created_at_s)} UTC{lasts}")
    else:
        click.echo(f"{found.state}: {found.problem}")
    if found.state != "initialised":
        raise SystemExit(NO)


@store.command()
@by_option
@click.option("--offline", is_flag=True, help="Initialise the file that the configuration names; no hub may use it.")
@operator_options
@click.pass_context
def init(context: click.Context, *, by: str, offline: bool, hub: Operator, as_json: bool) -> None:
    """Start with an empty store: from now on the hub believes the first answer to each question.

    Do this once, for a new hub. If the hub had a store before, restore its file instead: without baselines, an answer
    that is too short passes, and Argo CD deletes Applications. A store that is initialised stays as it is.
    """
    if offline:
        config_path = context.params.get("config_path")
        found = _init_offline(_path(config_path), by)
    else:
        found = hub.post("/api/store/init", {"by": by}, Initialised)
    if as_json:
        print_json(found)
    elif found.changed:
        click.echo(f"initialised: store {found.store.id}; the first answer to each question is believed")
    else:
        click.echo(f"nothing to do: store {found.store.id} is initialised since {moment(found.store.created_at_s)} UTC")


def _init_offline(path: Path, by: str) -> Initialised:
    from hub.main import storing  # noqa: PLC0415 - only this needs it: other commands start faster without.
    from hub.store.sqlite import CannotOpenStore  # noqa: PLC0415 - as above.

    try:
        return asyncio.run(storing.init(path, by))
    except (CannotOpenStore, HubError) as error:
        failed(str(error))


@store.command()
@the_config_option
@json_option
def check(config_path: Path | None, *, as_json: bool) -> None:
    """Read every record of the file that the configuration names, also while a hub runs on it; change nothing."""
    from hub.main import storing  # noqa: PLC0415 - as above.
    from hub.store.sqlite import CannotOpenStore  # noqa: PLC0415 - as above.

    path = _path(config_path)
    try:
        found = storing.check(path)
    except CannotOpenStore as error:
        could_not_find_out(str(error))
    if as_json:
        print_json(found)
    else:
        for problem in found.damaged:
            click.echo(problem)
        state = "initialised" if found.initialised else "not initialised"
        click.echo(f"{path}: {state}, {found.records} records, {len(found.damaged)} damaged")
    if found.damaged:
        raise SystemExit(NO)


@store.command()
@click.argument("copy", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite the copy if it exists.")
@the_config_option
@json_option
def backup(copy: Path, config_path: Path | None, *, force: bool, as_json: bool) -> None:
    """Copy the store's file to COPY, also while a hub runs on it.

    The copy is one file; it is read and checked before it gets its name.
    """
    from hub.store import backup as copying  # noqa: PLC0415 - as above.

    with _refusals_of_a_copy():
        made = copying.backup(_path(config_path), copy, force=force)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made.path}: {made.records} records, {made.size_bytes} bytes")


@store.command()
@click.argument("copy", type=click.Path(path_type=Path, dir_okay=False))
@the_config_option
@json_option
def restore(copy: Path, config_path: Path | None, *, as_json: bool) -> None:
    """Put COPY, a backup, in the place of the store's file. No hub may run on it.

    The file that was there is kept beside it, under a name that is printed. Answers are compared with what was accepted
    before the backup: what has changed since may be held.
    """
    from hub.store import backup as copying  # noqa: PLC0415 - as above.

    with _refusals_of_a_copy():
        made = copying.restore(copy, _path(config_path), at=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    if as_json:
        print_json(made)
    else:
        kept = f"; the file that was there is now {made.replaced}" if made.replaced else ""
        click.echo(f"{made.path}: restored, {made.records} records{kept}")


@contextmanager
def _refusals_of_a_copy() -> Iterator[None]:
    """End the command when no copy is made: 3 if the source is no sound store, 1 if the copy is refused or fails."""
    from hub.store.backup import CannotCopy  # noqa: PLC0415 - as above.
    from hub.store.sqlite import CannotOpenStore  # noqa: PLC0415 - as above.

    try:
        yield
    except CannotOpenStore as error:
        could_not_find_out(str(error))
    except CannotCopy as error:
        failed(str(error))


def _path(config_path: Path | None) -> Path:
    """The file of the configured store."""
    configured = configuration(config_path, "--config")
    written = configured.written.store
    url = written.url if isinstance(written, Store) else written
    return configured.folder / url.removeprefix(SQLITE) if url.startswith(SQLITE) else _no_file()


def _no_file() -> NoReturn:
    wrong_use("the configured store is memory:, which has no file")

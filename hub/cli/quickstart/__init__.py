"""``appset-hub quickstart``: a hub and its backends in the foreground; Ctrl-C ends all of them.

Each part is a process, started with the command that an operator would use. Nothing is written to disk.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from hub.cli.options import failed, settings_or_exit, wrong_use
from hub.config.load import Source

if TYPE_CHECKING:
    from hub.cli.quickstart.parts import Parts
    from hub.core.settings import Settings

FILES = Path(__file__).parent / "files"

_TRY = """
The hub is ready. In another terminal:

  curl http://localhost:{http}/api/v1/getparams.execute -H "Authorization: Bearer strong-password" -d \\
    '{{"applicationSetName": "fake-appset", "input": {{"parameters": {{"param1": "value1"}}}}}}'

  curl http://localhost:{http}/api/v1/getparams.execute -H "Authorization: Bearer strong-password" -d \\
    '{{"applicationSetName": "fb-matrix", "input": {{"parameters": {{"branch": "feature-branch-1"}}}}}}'

  {hub} backends list --config {config}
  {hub} explain fb-matrix --config {config}
  curl http://localhost:{admin}/metrics

Ctrl-C stops all of it.
"""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=FILES / "hub.yaml",
    help="A hub.yaml; its folder must have a NAME.yaml for each backend, and a NAME.token for each backend without an "
    "address. Default: the example that is installed with this command.",
)
def quickstart(config: Path) -> None:
    """Run an example hub with two backends, until Ctrl-C."""
    # Here, and not above: the other commands do not wait for subprocess and its kind to load.
    from hub.cli.ports import ports_of_backends, ports_of_hub, refusals  # noqa: PLC0415
    from hub.cli.quickstart.parts import Broken, Parts  # noqa: PLC0415

    settings = settings_or_exit(Source(path=config))
    ports = [*ports_of_hub(settings), *ports_of_backends(settings)]
    if unset := [port.setting for port in ports if port.address.port == 0]:
        wrong_use(f"{unset[0]} in {_shown(config)}: the quick start needs a port other than 0")
    if found := refusals(ports, where=_shown(config), as_localhost=True):
        _refuse(found, config.parent)
    with Parts() as parts:
        try:
            _run(parts, settings, config)
        except Broken as reason:
            parts.end()  # So that the reason is the last line.
            failed(str(reason))


def _refuse(found: list[str], folder: Path) -> None:
    failed(
        *found,
        'nothing was started; stop the program that uses the port ("ss -ltnp" shows it), or use another port: copy '
        f"{_shown(folder)}, edit hub.yaml there and run: {_command('appset-hub')} quickstart --config COPY/hub.yaml",
    )


def _run(parts: Parts, settings: Settings, config: Path) -> None:
    """Start the hub, then its backends, and wait.

    Raises:
        Broken: a part ended before all were ready, or later the hub, or it took too long.
    """
    from hub.cli.quickstart.readiness import all_ready, listens  # noqa: PLC0415 - as above.

    listen = settings.listen
    hub = parts.start("hub", _beside("appset-hub"), "serve", "--config", config, "--log-format", "human")
    if not parts.wait_until(lambda: listens(listen), "the hub does not listen"):
        return
    for backend in settings.backends:
        name, address = backend.grant.backend, backend.grant.configured_address
        where = (
            ("--listen", address) if address else ("--hub", listen.grpc, "--token-file", _file(config, name, "token"))
        )
        options = ("static", "--name", name, "--config", _file(config, name, "yaml"))
        parts.start(name, _beside("appset-hub-backend"), *options, *where)
    if not parts.wait_until(lambda: all_ready(listen.admin), "not all backends are connected"):
        return
    shown = {"hub": _command("appset-hub"), "config": quote(_shown(config))}
    parts.ready(_TRY.format(http=listen.http.port, admin=listen.admin.port, **shown))
    parts.wait_for(hub)


def _file(config: Path, name: str, suffix: str) -> Path:
    return config.parent / f"{name}.{suffix}"


def _beside(name: str) -> Path:
    """The command of this name in the same installation."""
    folders = [Path(sys.executable).parent, Path(sys.argv[0]).absolute().parent]
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    return found or failed(f'the command "{name}" is not in {folders[0]}; install appset-hub again')


def _command(name: str) -> str:
    """What to type to run a command of this installation."""
    own, found = _beside(name), shutil.which(name)
    return name if found is not None and own.samefile(found) else quote(_shown(own))


def _shown(path: Path) -> str:
    """A path that works in another terminal: whole, but in a checkout, where its README's commands are relative too."""
    whole, here = path.absolute(), Path.cwd()
    in_checkout = Path(sys.executable).parent.absolute() == here / ".venv" / "bin"
    return str(whole.relative_to(here) if in_checkout and whole.is_relative_to(here) else whole)

"""The command ``appset-hub``: to run a hub, and to operate one that runs.

Every command prints for a person, or with ``--json`` for a program. Exit codes: 0 yes, 1 no, 2 wrong usage or
configuration, 3 could not find out; ``hub.cli.exits`` has them for each command.
"""

from __future__ import annotations

import click

from hub import __version__
from hub.cli.calling import call
from hub.cli.commands import Commands
from hub.cli.configuring import config
from hub.cli.deciding import accept, audit, held, history, reject
from hub.cli.exits import describe_exits
from hub.cli.freezing import freeze, unfreeze
from hub.cli.manifests import argocd
from hub.cli.operating import backends, explain, routes
from hub.cli.quickstart import quickstart
from hub.cli.serving import serve
from hub.cli.storing import store


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="appset-hub")
def main() -> None:
    """One baseUrl for all ApplicationSet plugins of an Argo CD."""


for command in (
    serve,
    quickstart,
    config,
    call,
    explain,
    routes,
    backends,
    argocd,
    held,
    accept,
    reject,
    audit,
    history,
    freeze,
    unfreeze,
    store,
):
    main.add_command(command)
describe_exits(main)

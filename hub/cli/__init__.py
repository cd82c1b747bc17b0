"""The command ``appset-hub``: for those who run a hub, and for those who ask one.

Every command prints for a person, or with ``--json`` for a program. It exits with 0 when all is well, with 1 when the
hub says no, and with 2 when the command or the configuration is wrong.
"""

from __future__ import annotations

import click

from hub import __version__
from hub.cli.calling import call
from hub.cli.configuring import config
from hub.cli.deciding import accept, audit, held, history, reject
from hub.cli.manifests import argocd
from hub.cli.operating import backends, explain, routes
from hub.cli.quickstart import quickstart
from hub.cli.serving import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
):
    main.add_command(command)

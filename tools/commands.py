"""The page of every command of ``appset-hub``, as click and ``hub.cli.exits`` declare them."""

from collections.abc import Iterator

import click

from hub.cli import main
from hub.cli.commands import INTERRUPTED, OUTPUT_CLOSED, all_commands
from hub.cli.exits import exits_of

HEAD = f"""\
# Commands

Generated from the code by `make docs`. `appset-hub COMMAND --help` prints the same.

## How a command finds the hub

`routes`, `explain`, `backends`, `held`, `accept`, `reject`, `audit` and `history` call the admin port of a running hub.
They use the first of these that is set:

1. `--admin URL`;
2. `--config FILE`: the port of `listen.admin` in that configuration, on this machine;
3. the environment: the URL in `HUB_ADMIN`, otherwise the configuration file in `HUB_CONFIG`;
4. `hub.yaml` in the current folder;
5. `http://127.0.0.1:4357`.

`call` finds the HTTP port in the same way: `--url URL`, then `listen.http` of the same configuration files, then
`http://127.0.0.1:4355`.

The image sets `HUB_CONFIG`, so in the hub's pod no command needs any of these options:

```console
$ kubectl --namespace appset-hub exec appset-hub-0 -- appset-hub held
```

If no hub answers at that address, the command says where the address came from and exits with 3; it does not try the
next one. A command reads no secret but the one token that it sends, so the hub's other secrets need not be on this
machine. Commands ignore proxy settings such as `http_proxy` and do not follow redirects.

Over TLS, a port that the configuration names must show the very certificate that `tls.http` or `tls.admin` there names:
it need not be for 127.0.0.1. If that file is not on this machine, and for a URL, the certificate must be for the URL's
host, signed by a CA of the system, or of `--admin-ca-file` (`--ca-file` for `call`).

Reading needs no token. `accept`, `reject` and `backends forget` send the admin token in the file that
`--admin-token-file` or `HUB_ADMIN_TOKEN_FILE` names, otherwise the first of `admin.tokens` in the configuration. With
`--config FILE`, only that file or `--admin-token-file` names the token: the variable may hold another hub's. It counts
for `HUB_CONFIG`, `./hub.yaml` and `--admin`.

## Exit codes

| code | meaning |
|---|---|
| 0 | yes |
| 1 | no: the hub refused, an answer is held, nothing serves the name |
| 2 | wrong usage, or an error in the configuration |
| 3 | could not find out: the hub cannot be reached, is too slow or failed, or something other than a hub answered |
| {INTERRUPTED} | Ctrl-C |
| {OUTPUT_CLOSED} | the reader of the output closed the pipe, as in `appset-hub held \\| head -1` |

Each command below lists what its exit codes mean. `--json` changes what is printed, never the exit code. Errors are one
line on standard error; configuration errors are one line each.

## Environment

| variable | what |
|---|---|
| `HUB_CONFIG` | the hub's configuration file, as `--config` |
| `HUB_ADMIN` | URL of the admin port, as `--admin` |
| `HUB_ADMIN_TOKEN_FILE` | file with the admin token, as `--admin-token-file` |
| `HUB_ADMIN_CA_FILE` | CA bundle for the admin port, as `--admin-ca-file` |
| `HUB_…` | override settings of the configuration: [configuration.md](configuration.md) |

An option overrides its variable.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(
        part for path, command in all_commands(main) if not command.hidden for part in _section(path, command)
    )


def _section(path: str, command: click.Command) -> Iterator[str]:
    with click.Context(command, info_name=f"appset-hub {path}") as context:
        usage = " ".join(["appset-hub", path, *command.collect_usage_pieces(context)])
        yield f"\n## {path}\n\n{_text(command.help or '')}\n\n```text\n{usage}\n```\n"
        rows = [row for option in command.get_params(context) if (row := option.get_help_record(context))]
    if any(what and "--help" not in option for option, what in rows):
        yield "\n| option | what |\n|---|---|\n"
        yield from (
            f"| `{_cell(option)}` | {_cell(what)} |\n" for option, what in rows if what and "--help" not in option
        )
    if command.epilog:
        yield "\n| exit code | meaning |\n|---|---|\n"
        yield from (f"| {code} | {_cell(what)} |\n" for code, what in exits_of(path).rows())


def _text(help_text: str) -> str:
    return "\n".join(line.strip() for line in help_text.splitlines()).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

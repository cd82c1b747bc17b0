"""What the exit code of each command means, for its ``--help`` and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.cli.commands import all_commands

if TYPE_CHECKING:
    import click

_WRONG_USE = "wrong usage, or an error in the configuration"
_NO_ADMIN = "could not find out: no admin port of a hub answered, or the hub failed"


@dataclass(frozen=True, slots=True)
class Exits:
    """The meanings of a command's exit codes; an empty one does not occur."""

    yes: str
    no: str = ""
    wrong_use: str = _WRONG_USE
    unknown: str = _NO_ADMIN

    def rows(self) -> list[tuple[int, str]]:
        """Each code that occurs, with its meaning."""
        return [(code, text) for code, text in enumerate((self.yes, self.no, self.wrong_use, self.unknown)) if text]

    def epilog(self) -> str:
        """The end of a command's help."""
        return "\b\nExit codes:\n" + "\n".join(f"  {code}  {text}" for code, text in self.rows())


_LISTED = Exits("listed, even if the list is empty")

EXITS = {
    "serve": Exits(
        "stopped by SIGTERM or Ctrl-C", "cannot start: a port is in use, or the store cannot be used", unknown=""
    ),
    "quickstart": Exits(
        "stopped by Ctrl-C or SIGTERM",
        "could not start, or the hub ended: a port is in use, or a process failed",
        unknown="",
    ),
    "config check": Exits(
        "no errors",
        "with --strict: there are warnings",
        wrong_use="wrong usage, or the configuration has errors",
        unknown="",
    ),
    "config show": Exits("shown", unknown=""),
    "config schema": Exits("printed", unknown=""),
    "call": Exits(
        "the hub answered with parameter sets, or with none",
        "the hub answered with an error: refused, held, or no complete answer",
        unknown="could not find out: no hub answered",
    ),
    "explain": Exits(
        "a route or a backend serves NAME, connected or not", "the hub would refuse the request: nothing serves NAME"
    ),
    "routes": _LISTED,
    "backends": Exits("listed, connected or not"),
    "backends list": Exits("listed, connected or not"),
    "backends forget": Exits(
        "forgotten, or there was nothing to forget", "refused: no such backend, or a wrong admin token"
    ),
    "argocd manifests": Exits("printed", unknown=""),
    "argocd secret": Exits("printed", unknown=""),
    "held": Exits("listed; with --check: nothing is held", "with --check: an answer is held"),
    "accept": Exits("accepted", "refused: nothing is held under ID, or a wrong admin token"),
    "reject": Exits("rejected", "refused: nothing is held under ID, or a wrong admin token"),
    "audit": _LISTED,
    "history": _LISTED,
    "freeze": Exits("frozen", "refused: no such route, or a wrong admin token"),
    "unfreeze": Exits("lifted, or there was nothing to lift", "refused: a wrong admin token"),
    "store status": Exits("initialised", "not initialised, or lost"),
    "store init": Exits(
        "initialised, or it was before", "refused: the store cannot be written, a hub uses it, or a wrong admin token"
    ),
    "store backup": Exits(
        "copied",
        "refused: the copy exists, or cannot be written",
        unknown="could not find out: there is no such store, or it is damaged",
    ),
    "store restore": Exits(
        "restored",
        "refused: a hub uses the store, or its file cannot be written",
        unknown="could not find out: there is no such copy, or it is no sound store",
    ),
    "store check": Exits("sound", "damaged", unknown="could not find out: there is no such file, or it is no store"),
}

_OTHERS = Exits("done", "no", unknown="could not find out")


def exits_of(path: str) -> Exits:
    """The exit codes of a command by its path, such as ``backends list``."""
    return EXITS.get(path, _OTHERS)


def describe_exits(main: click.Group) -> None:
    """Add the exit codes to the help of every command that does something."""
    for path, command in all_commands(main):
        if command.callback is not None and (path in EXITS or not hasattr(command, "commands")):
            command.epilog = exits_of(path).epilog()

"""The group of all commands: whatever ends one of them is an exit code and at most one line, not a traceback."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

import click

from hub.cli.options import UNKNOWN
from hub.cli.printing import say

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
"""Ctrl-C, as a shell reports it."""

OUTPUT_CLOSED = 141
"""The reader of a pipe went away, as a shell reports it."""


class Commands(click.Group):
    """A group whose commands end with an exit code that means something, however they end."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what cannot be sent as JSON, once for all commands."""
        if not all(_is_text(one) for one in args):
            raise click.UsageError("an argument is not valid UTF-8")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):
            _print_anything(stream)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            raise SystemExit(OUTPUT_CLOSED) from None
        except OSError as error:
            say(f"error: {error.strerror or error}", err=True)
            raise SystemExit(UNKNOWN) from error
        except (click.exceptions.Exit, click.exceptions.Abort, click.ClickException):
            raise
        except Exception as error:
            # A defect. Python's own exit code for it is 1, which would be read as the hub's no.
            traceback.print_exc()
            raise SystemExit(UNKNOWN) from error


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeError:
        return False
    return True


def _print_anything(stream: TextIO | Any) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def all_commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group with its path, such as ``backends list``; groups come before what is in them."""
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        yield whole, command
        if isinstance(command, click.Group):
            yield from all_commands(command, whole)

"""Who gives a command that the audit log remembers."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

import click

from hub.core.guard import MAX_WHO_CHARS


def login_name() -> str:
    """The name of this user; in a container there may be none, and then the number says who it was."""
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    named = (os.environ.get(variable, "").strip() for variable in ("USER", "LOGNAME"))
    name = next((name for name in named if name), f"uid {os.getuid()}")
    return name.encode("utf-8", "replace").decode()[:MAX_WHO_CHARS]


def _who(_context: click.Context, _option: click.Parameter, by: str) -> str:
    if len(by) > MAX_WHO_CHARS:
        raise click.BadParameter(f"a name has at most {MAX_WHO_CHARS} characters")
    return by.strip() or login_name()


by_option = click.option(
    "--by",
    default="",
    callback=_who,
    metavar="NAME",
    help="Your name, for the audit log; default: the name of this user, or its uid.",
)

"""Lines and tables for people, JSON for programs.

Names, values and messages come from callers, backends and whatever answers at an address. None of their characters may
move the cursor of a terminal, hide text or start another line, so every line of a command is printed here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SHOWN = 5


def printable(text: str) -> str:
    """The text in one line, with a code for every character that is not printable."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def say(line: str, *, err: bool = False) -> None:
    """Print one line."""
    click.echo(printable(line), err=err)


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    click.echo("\n".join(map(_printable_json, text.split("\n"))))


def _printable_json(line: str) -> str:
    """The same JSON. It escapes only what is below U+0020, and terminals also obey U+0080 to U+009F."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in line)


def moment(at_s: float) -> str:
    """A time of day in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Columns under their heads, or one line when there are none."""
    head, *lines = [[printable(text) for text in row] for row in (heads, *rows)]
    if not lines:
        say(empty)
        return
    widths = [max(len(text) for text in column) for column in zip(head, *lines, strict=True)]
    for line in (head, *lines):
        say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """A value as it is shown in a table: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def some(items: Sequence[str], total: int) -> str:
    """The first few of ``total`` items."""
    return ", ".join(items[:_SHOWN]) + (", …" if total > _SHOWN else "")


def pairs(values: Mapping[str, Any], between: str) -> str:
    """The first few entries of a mapping, in one line; ``-`` if there are none."""
    return some([f"{key}{between}{value}" for key, value in values.items()], len(values)) or "-"

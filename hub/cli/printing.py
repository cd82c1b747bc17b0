"""Tables for people, JSON for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SHOWN = 5


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def moment(at_s: float) -> str:
    """A time of day in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Columns under their heads, or one line when there are none."""
    lines = [[_printable(text) for text in row] for row in rows]
    if not lines:
        click.echo(empty)
        return
    widths = [max(len(text) for text in column) for column in zip(heads, *lines, strict=True)]
    for line in (heads, *lines):
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _printable(text: str) -> str:
    # Names and values come from callers and backends: a control character must not reach the terminal.
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


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

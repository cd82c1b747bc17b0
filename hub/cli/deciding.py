"""``appset-hub held``, ``accept``, ``reject``, ``audit``, ``history``: what the guard did, and what people decide."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click

from hub.cli.operating import Operator, find, operator_options
from hub.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 5


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _some(identities: list[str], total: int) -> str:
    shown = ", ".join(identities[:_SHOWN])
    return f"{shown}, …" if total > _SHOWN else shown


@click.command()
@operator_options
def held(config_path: Path | None, admin_url: str, admin_token_file: Path | None, *, as_json: bool) -> None:
    """List the answers that the guard holds."""
    found = find(config_path, admin_url, admin_token_file).get("/api/held")
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "APPLICATION SET", "ROUTE", "MISSING", "SINCE (UTC)", "DECISION", "WHICH"),
        [
            (
                one["id"],
                one["subject"]["application_set_name"],
                one["subject"]["route"],
                f"{one['went']} of {one['before']}",
                _time(one["since_s"]),
                one["decision"] or "-",
                _some(one["missing"], one["went"]),
            )
            for one in found
        ],
        empty="nothing is held",
    )


def _decide(operator: Operator, action: str, held_id: str, by: str, *, as_json: bool) -> None:
    found = operator.post(f"/api/held/{quote(held_id, safe='')}/{action}", {"by": by or getpass.getuser()})
    if as_json:
        print_json(found)
    elif action == "accept":
        click.echo(f"accepted: exactly this answer passes once; Argo CD then deletes what {found['went']} sets made")
    else:
        click.echo("rejected: it stays held")


_by_option = click.option(
    "--by", default="", help="Who decides, for the audit log; the name of this login if left out."
)


@click.command()
@click.argument("held_id", metavar="ID")
@_by_option
@operator_options
def accept(  # noqa: PLR0913 - a command's options
    held_id: str,
    *,
    by: str,
    config_path: Path | None,
    admin_url: str,
    admin_token_file: Path | None,
    as_json: bool,
) -> None:
    """Let the held answer ID through, once."""
    _decide(find(config_path, admin_url, admin_token_file), "accept", held_id, by, as_json=as_json)


@click.command()
@click.argument("held_id", metavar="ID")
@_by_option
@operator_options
def reject(  # noqa: PLR0913 - a command's options
    held_id: str,
    *,
    by: str,
    config_path: Path | None,
    admin_url: str,
    admin_token_file: Path | None,
    as_json: bool,
) -> None:
    """Keep the held answer ID held, even where its route would release it in time."""
    _decide(find(config_path, admin_url, admin_token_file), "reject", held_id, by, as_json=as_json)


@click.command()
@operator_options
def audit(config_path: Path | None, admin_url: str, admin_token_file: Path | None, *, as_json: bool) -> None:
    """List who decided what about held answers."""
    found = find(config_path, admin_url, admin_token_file).get("/api/audit")
    if as_json:
        print_json(found)
        return
    print_table(
        ("TIME (UTC)", "WHO", "ACTION", "ID", "APPLICATION SET", "MISSING"),
        [
            (
                _time(one["at_s"]),
                one["who"] or "-",
                one["action"],
                one["held_id"],
                one["subject"]["application_set_name"],
                f"{one['went']} of {one['before']}",
            )
            for one in found
        ],
        empty="nothing was decided yet",
    )


@click.command()
@click.argument("name")
@operator_options
def history(
    name: str, *, config_path: Path | None, admin_url: str, admin_token_file: Path | None, as_json: bool
) -> None:
    """Show what came and went in the answers for the ApplicationSet NAME."""
    found = find(config_path, admin_url, admin_token_file).get(f"/api/history?{urlencode({'name': name})}")
    if as_json:
        print_json(found)
        return
    print_table(
        ("TIME (UTC)", "INPUT", "SETS", "CAME", "WENT", "MEMBERS", "HOW"),
        [_change_row(one["subject"], change) for one in found for change in one["changes"]],
        empty="the hub has given no answer for this ApplicationSet yet",
    )


def _change_row(subject: dict[str, Any], change: dict[str, Any]) -> tuple[str, ...]:
    return (
        _time(change["at_s"]),
        subject["input_digest"],
        str(change["sets"]),
        f"+{change['came']} {_some(change['came_shown'], change['came'])}".strip(),
        f"-{change['went']} {_some(change['went_shown'], change['went'])}".strip(),
        ", ".join(f"{backend} {count}" for backend, count in change["members"].items()),
        change["how"],
    )

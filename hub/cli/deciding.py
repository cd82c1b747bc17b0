"""``appset-hub held``, ``accept``, ``reject``, ``audit``, ``history``: what the guard did, and what people decide."""

from __future__ import annotations

import re
import sys
import time
from shlex import quote as quoted
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click

from hub.cli.discovery import operator_options
from hub.cli.freezing import warn_of_freezes, what
from hub.cli.login import by_option
from hub.cli.options import NO
from hub.cli.printing import moment, pairs, print_json, print_table, say, some
from hub.core.guard import AuditEntry, HeldAnswer, History
from hub.core.routes import CLAIMED

if TYPE_CHECKING:
    from hub.cli.discovery import Operator
    from hub.core.guard import Change, Subject

_ARGO_CD_NAMESPACE = "argocd"
_NO_KEYS = "none"

# What Kubernetes allows. Other names are made up by callers, and must not reach a shell.
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 if anything is held.")
@operator_options
def held(hub: Operator, *, check: bool, as_json: bool) -> None:
    """List the answers that the guard holds, each with its input and backends."""
    found = hub.get("/api/held", list[HeldAnswer])
    if as_json:
        print_json(found)
    else:
        print_table(
            (
                "ID",
                "APPLICATION SET",
                "ROUTE",
                "INPUT",
                "BACKENDS",
                "MISSING",
                "CHANGED",
                "LIMIT",
                "SINCE (UTC)",
                "DECISION",
                "WHICH",
                "SUGGESTED KEYS",
            ),
            map(_held_row, found),
            empty="nothing is held",
        )
        warn_of_freezes(hub)
    if check and found:
        raise SystemExit(NO)


_LIMITS = {
    "max_drop": "guard.max_drop",
    "max_change": "guard.max_change",
    "window": "guard.max_drop in guard.window",
    "total": "guard.total",
}
"""The settings, by what a held answer exceeds."""


def _held_row(one: HeldAnswer) -> tuple[str, ...]:
    return (
        one.id,
        one.subject.application_set_name,
        one.subject.route,
        pairs(one.input or {}, "="),
        pairs(one.members, " "),
        f"{one.went} of {one.before}",
        "-" if one.changed is None else str(one.changed),
        _LIMITS[one.limit],
        moment(one.since_s),
        one.decision or "-",
        some(one.missing, one.went),
        ",".join(one.suggested) or "-",
    )


def _decide(hub: Operator, action: str, held_id: str, body: dict[str, Any]) -> HeldAnswer:
    return hub.post(f"/api/held/{quote(held_id, safe='')}/{action}", body, HeldAnswer)


def _keys(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    keys = tuple(key.strip() for key in text.split(","))
    if not all(keys) or len(set(keys)) < len(keys):
        raise click.BadParameter("expected one key, or several separated by commas, such as name,env")
    return keys


@click.command()
@click.argument("held_id", metavar="ID")
@click.option(
    "--unique-by",
    default=None,
    callback=_keys,
    metavar="KEY[,KEY]",
    help="The keys that identify a set, for this and all later answers of the route (or of the backend, if the name is "
    "served by claims). In a terminal, the command asks for them if the hub has a suggestion.",
)
@by_option
@operator_options
def accept(held_id: str, *, unique_by: tuple[str, ...] | None, by: str, hub: Operator, as_json: bool) -> None:
    """Let the held answer ID through to Argo CD, once.

    It covers the next answer that loses no other sets than this one. With --unique-by, the hub learns which keys
    identify a set, so that later releases that only change values under other keys are not held.
    """
    keys = unique_by
    if keys is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        keys = _asked(hub, held_id)
    body: dict[str, Any] = {"by": by}
    if keys:
        body["unique_by"] = keys
    found = _decide(hub, "accept", held_id, body)
    if as_json:
        print_json(found)
        return
    name = found.subject.application_set_name
    say(
        f'accepted: the next answer for "{name}" that loses no other sets than this one passes, once; '
        f"this one has {found.sets} sets"
    )
    if found.limit in ("window", "total"):
        say(f"the limit: {found.why}; once this answer has passed, these losses no longer count")
    if keys:
        say(f"learnt: {', '.join(keys)} identifies a set; to undo this, run: appset-hub {_forgetting(found)}")
    say(_difference(found))
    command = _how_to_refresh(found)
    how = " To make it retry now (-n is the namespace of the ApplicationSet), run:" if command else ""
    say(f"Argo CD retries within three minutes.{how}")
    if command:
        say(command)


def _asked(hub: Operator, held_id: str) -> tuple[str, ...]:
    """The keys that a person at a terminal confirms or gives, where the hub has a suggestion."""
    found = next((one for one in hub.get("/api/held", list[HeldAnswer]) if one.id == held_id), None)
    if found is None or not found.suggested or not found.changed:
        return ()
    say(f"{found.changed} of {found.before} sets changed, {found.went} missing.")
    say("The hub does not know which keys identify a set. It can learn them, so that the next release is not held.")
    suggestion = ",".join(found.suggested)
    text = click.prompt(f'Keys, separated by commas, or "{_NO_KEYS}"', default=suggestion).strip()
    return () if text == _NO_KEYS else tuple(key.strip() for key in text.split(",") if key.strip())


def _forgetting(found: HeldAnswer) -> str:
    if found.subject.route != CLAIMED:
        return f"routes forget-keys {quoted(found.subject.route)}"
    return f"backends forget-keys {quoted(next(iter(found.members), 'NAME'))}"


def _difference(found: HeldAnswer) -> str:
    """What the hub knows of the loss. Which Applications that concerns is decided by the ApplicationSet's template."""
    if found.changed is not None and not found.blind:
        return (
            f"compared with the {found.before} previous sets: {found.went} missing, {found.changed} changed, "
            f"{found.came} new; which Applications Argo CD deletes depends on the ApplicationSet's template and sync "
            "policy"
        )
    news = "" if found.came is None else f", and {found.came} of this answer's sets are new or changed"
    return (
        f"{found.went} of the {found.before} previous sets are missing or changed{news}; which "
        "Applications Argo CD deletes depends on the ApplicationSet's template and sync policy"
    )


def _how_to_refresh(found: HeldAnswer) -> str:
    """The command that makes Argo CD call at once; empty for a name that Kubernetes does not allow.

    It reacts to a new value. Until a reconcile succeeds it keeps the annotation, so that an equal value is no change.
    """
    name = found.subject.application_set_name
    namespace = found.subject.application_set_namespace or _ARGO_CD_NAMESPACE
    if not _OBJECT_NAME.fullmatch(name) or not _OBJECT_NAME.fullmatch(namespace):
        return ""
    return (
        f"kubectl annotate applicationset {name} -n {namespace} "
        f'argocd.argoproj.io/application-set-refresh="{found.id}-{int(time.time())}" --overwrite'
    )


@click.command()
@click.argument("held_id", metavar="ID")
@by_option
@operator_options
def reject(held_id: str, *, by: str, hub: Operator, as_json: bool) -> None:
    """Keep the held answer ID held, even if its route would release it after a while."""
    found = _decide(hub, "reject", held_id, {"by": by})
    if as_json:
        print_json(found)
    else:
        say("rejected: this answer stays held")


@click.command()
@operator_options
def audit(hub: Operator, *, as_json: bool) -> None:
    """List who decided what: held answers, taught keys, forgotten backends, freezes, and an empty store."""
    found = hub.get("/api/audit", list[AuditEntry])
    if as_json:
        print_json(found)
        return
    print_table(
        ("TIME (UTC)", "WHO", "ACTION", "WHAT", "DETAILS"),
        [(moment(one.at_s), one.who or "-", one.action, *_decided(one)) for one in found],
        empty="nothing has been decided yet",
    )


def _decided(entry: AuditEntry) -> tuple[str, str]:
    """What a decision was about, and its details."""
    if entry.store_id:
        return f"store {entry.store_id}", "started with an empty store"
    if entry.action in ("freeze", "unfreeze"):
        return what(entry.route), entry.reason or "-"
    if entry.action in ("teach", "unteach"):
        whose = f"route {entry.route}" if entry.route else f"backend {entry.backend}"
        does = "identifies a set" if entry.action == "teach" else "no longer identifies a set"
        return whose, f"{', '.join(entry.keys)} {does}"
    if entry.subject is None:
        gone = ", ".join(entry.patterns)
        return f"backend {entry.backend}", f"no longer claims {gone}" if gone else "it had claimed nothing"
    subject = entry.subject
    details = f"{entry.went} of {entry.before} sets missing or changed, input {subject.input_digest}"
    return f"{entry.held_id} {subject.application_set_name} (route {subject.route})", details


@click.command()
@click.argument("name")
@operator_options
def history(name: str, *, hub: Operator, as_json: bool) -> None:
    """Show which sets were added, removed and changed in the answers for the ApplicationSet NAME."""
    found = hub.get(f"/api/history?{urlencode({'name': name})}", list[History])
    if as_json:
        print_json(found)
        return
    print_table(
        ("TIME (UTC)", "INPUT", "SETS", "ADDED", "REMOVED", "CHANGED", "IN LISTS", "MEMBERS", "HOW"),
        [_change_row(one.subject, change) for one in found for change in one.changes],
        empty="the hub has not answered for this ApplicationSet yet",
    )


def _change_row(subject: Subject, change: Change) -> tuple[str, ...]:
    return (
        moment(change.at_s),
        subject.input_digest,
        str(change.sets),
        f"+{change.came} {some(change.came_shown, change.came)}".strip(),
        f"-{change.went} {some(change.went_shown, change.went)}".strip(),
        "-" if change.changed is None else f"{change.changed} {some(change.changed_shown, change.changed)}".strip(),
        pairs(change.lists, " "),
        pairs(change.members, " "),
        change.how,
    )

"""``appset-hub freeze`` and ``unfreeze``: for emergencies, no changed answer leaves the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hub.cli.discovery import operator_options
from hub.cli.login import by_option
from hub.cli.options import wrong_use
from hub.cli.printing import moment, print_json, say
from hub.core.freezes import MAX_REASON_CHARS, Freeze, lifting
from hub.core.routes import CLAIMED
from hub.service.freezing import FreezeView

if TYPE_CHECKING:
    from hub.cli.discovery import Operator

_route_option = click.option("--route", default="", metavar="NAME", help="This route only; default: all routes.")
_claims_option = click.option("--claims", is_flag=True, help="Only names that are served by claims, without a route.")


def _reason(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    if not reason.strip() or not reason.isprintable() or len(reason) > MAX_REASON_CHARS:
        raise click.BadParameter(f"a reason is one line of at most {MAX_REASON_CHARS} characters")
    return reason.strip()


@click.command()
@_route_option
@_claims_option
@click.option(
    "--reason",
    required=True,
    callback=_reason,
    metavar="TEXT",
    help="Why; callers read it in the ApplicationSet's status, so it must not contain a secret.",
)
@by_option
@operator_options
def freeze(  # noqa: PLR0913 - a command's options
    route: str, *, claims: bool, reason: str, by: str, hub: Operator, as_json: bool
) -> None:
    """Refuse every changed answer until you run "unfreeze".

    An answer that equals the last accepted one is still returned. Any other, and any first answer, gets a 503 with the
    reason, so Argo CD changes nothing. Held answers stay held; one that you accept during a freeze passes afterwards.
    A freeze survives a restart of the hub.
    """
    wanted = _scope(route, claims=claims)
    found = hub.post("/api/freeze", {"route": wanted, "reason": reason, "by": by}, FreezeView)
    if as_json:
        print_json(found)
        return
    say(f"frozen: {what(found.route)}; changed answers get a 503 until you run: {lifting(found.route)}")
    if not found.lasting:
        say("warning: the hub's store is in memory, so a restart of the hub lifts the freeze", err=True)


@click.command()
@_route_option
@_claims_option
@by_option
@operator_options
def unfreeze(route: str, *, claims: bool, by: str, hub: Operator, as_json: bool) -> None:
    """Lift a freeze; without an option, the freeze of all routes.

    A route that was also frozen by itself stays frozen.
    """
    found = hub.post("/api/unfreeze", {"route": _scope(route, claims=claims), "by": by}, FreezeView)
    if as_json:
        print_json(found)
        return
    if found.changed:
        say(f"no longer frozen: {what(found.route)}")
    else:
        say(f"there was nothing to lift: no freeze of {what(found.route)}")
    warn_of_freezes(hub)


def _scope(route: str, *, claims: bool) -> str:
    if route and claims:
        wrong_use("use either --route or --claims, not both")
    return CLAIMED if claims else route


def what(route: str) -> str:
    """What a freeze covers, in words."""
    if not route:
        return "all routes"
    return "names that are served by claims" if route == CLAIMED else f'route "{route}"'


def still(freeze: Freeze) -> str:
    """A line for commands whose output a freeze concerns."""
    why = f"by {freeze.by} since {moment(freeze.since_s)} UTC: {freeze.reason}" if freeze.reason else "reason unknown"
    return f"warning: {what(freeze.route)}: frozen {why}; changed answers get a 503. To lift: {lifting(freeze.route)}"


def warn_of_freezes(hub: Operator) -> None:
    """Say what is frozen."""
    for one in hub.glance("/api/freezes", list[Freeze]) or ():
        say(still(one), err=True)

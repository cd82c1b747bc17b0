"""``appset-hub routes``, ``explain`` and ``backends``: what a running hub knows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import click
import msgspec
from click.core import ParameterSource

from hub.cli.discovery import operator_options
from hub.cli.freezing import still, warn_of_freezes
from hub.cli.login import by_option
from hub.cli.options import failed, parameters_option, parse_parameters
from hub.cli.printing import moment, print_json, print_table, say
from hub.service.membership import Forgotten
from hub.service.overview import BackendView, ExplainView, IdentityView, InstanceView, RouteView
from hub.service.taught import KeysForgottenView

if TYPE_CHECKING:
    from hub.cli.discovery import Operator
    from hub.service.freshness import Limited


@click.group(invoke_without_command=True)
@operator_options
@click.pass_context
def routes(context: click.Context, *, hub: Operator, as_json: bool) -> None:
    """List the configured routes, in the order in which the hub tries them, or forget keys that were taught."""
    if context.invoked_subcommand is None:
        _show_routes(hub, as_json=as_json)
        return
    _refuse_options(context)


def _refuse_options(context: click.Context) -> None:
    """Refuse options before a subcommand: they would be ignored, and it would go to another hub than they name."""
    for parameter in context.params:
        if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"write the options after {context.invoked_subcommand}", context)


@routes.command(name="list")
@operator_options
def list_routes(hub: Operator, *, as_json: bool) -> None:
    """List the configured routes, in the order in which the hub tries them."""
    _show_routes(hub, as_json=as_json)


def _show_routes(hub: Operator, *, as_json: bool) -> None:
    found = hub.get("/api/routes", list[RouteView])
    if as_json:
        print_json(found)
        return
    print_table(
        ("ROUTE", "APPLICATION SETS", "BACKENDS", "COMBINE", "DEADLINE", "UNIQUE BY", "FROZEN"),
        [
            (
                one.name,
                ", ".join(one.application_sets) or "(by path only)",
                ", ".join(one.backends),
                one.combine,
                f"{one.deadline_s:g} s",
                "; ".join(_keys_text(identity) for identity in one.identity),
                "yes" if one.frozen is not None else "-",
            )
            for one in found
        ],
        empty="no routes are configured; names go to the backends that claim them",
    )
    warn_of_freezes(hub)


@click.command()
@click.argument("name")
@parameters_option
@click.option("--route", default="", metavar="NAME", help="Use this route, as a baseUrl that ends with its name does.")
@operator_options
def explain(name: str, *, pairs: tuple[str, ...], route: str, hub: Operator, as_json: bool) -> None:
    """Show which backends answer for the ApplicationSet NAME, and why. No backend is called."""
    query = {"name": name, "route": route, "parameters": msgspec.json.encode(parse_parameters(pairs)).decode()}
    found = hub.get(f"/api/explain?{urlencode(query)}", ExplainView)
    if as_json:
        print_json(found)
    else:
        for step in found.steps:
            say(f"- {step}")
    if found.refusal:
        failed(found.refusal)
    if not as_json:
        say(f"route {found.route}: {found.combine} of {', '.join(found.backends)}")
        if found.absent:
            say(f"not connected now: {', '.join(found.absent)}")
        for identity in found.identity:
            say(_identity_line(identity, guarded=found.guarded))
        for key in found.varying_inputs:
            say(_varying_text(key), err=True)
        if found.frozen is not None:
            say(still(found.frozen), err=True)


def _varying_text(key: str) -> str:
    return (
        f'warning: the input "{key}" differs in every question about this name, so the guard has nothing to compare an '
        "answer with, and any loss passes. If it does not decide which Applications there are, set "
        f"guard.ignore_inputs: [{key}] in hub.yaml"
    )


_SOURCES = {
    "route": "unique_by of the route in hub.yaml",
    "merge": "merge.on of the route in hub.yaml",
    "backend": "unique_by of the backend in hub.yaml",
    "declared": "declared by the backend",
}


def _keys_text(identity: IdentityView) -> str:
    """Keys and where they come from, in a few words."""
    whose = f"{identity.backend}: " if identity.backend else ""
    if not identity.keys:
        return f"{whose}unknown"
    if identity.source == "taught":
        return f"{whose}{', '.join(identity.keys)} (taught by {identity.by} at {moment(identity.at_s)})"
    return f"{whose}{', '.join(identity.keys)} ({_SOURCES.get(identity.source, identity.source)})"


def _identity_line(identity: IdentityView, *, guarded: bool) -> str:
    whose = f'sets of backend "{identity.backend}"' if identity.backend else "sets"
    if identity.keys:
        return f"{whose} are identified by {_keys_text(msgspec.structs.replace(identity, backend=''))}"
    text = f"{whose}: the hub does not know which keys identify them"
    if not guarded:
        return text
    return (
        f"{text}, so a release that changes many of them is held until an operator accepts it; set unique_by of the "
        "route or the backend in hub.yaml, or in the backend itself"
    )


@click.group(invoke_without_command=True)
@operator_options
@click.pass_context
def backends(context: click.Context, *, hub: Operator, as_json: bool) -> None:
    """List the backends, or make the hub forget a backend's claims."""
    if context.invoked_subcommand is None:
        _show_backends(hub, as_json=as_json)
        return
    _refuse_options(context)


@backends.command(name="list")
@operator_options
def list_backends(hub: Operator, *, as_json: bool) -> None:
    """List the configured backends and their instances."""
    _show_backends(hub, as_json=as_json)


def _show_backends(hub: Operator, *, as_json: bool) -> None:
    found = hub.get("/api/backends", list[BackendView])
    if as_json:
        print_json(found)
        return
    print_table(
        ("BACKEND", "STATE", "CLAIMS", "NOT GRANTED", "KIND", "INSTANCE", "IN FLIGHT", "UNIQUE BY"),
        [(backend.name, *_instance_cells(backend, one)) for backend in found for one in backend.instances or (None,)],
        empty="no backends are configured",
    )
    for backend in found:
        if backend.ignored:
            say(_ignored_text(backend), err=True)
        if backend.awaited:
            say(_awaited_text(backend), err=True)
        for problem in _problems(backend):
            say(f'warning: backend "{backend.name}": {problem}', err=True)
        if backend.freshness_limited is not None:
            say(_limited_text(backend.name, backend.freshness_limited), err=True)


def _ignored_text(backend: BackendView) -> str:
    claims = ", ".join(f'"{pattern}"' for pattern in backend.ignored)
    return (
        f'warning: backend "{backend.name}" claims {claims}, which its grant excludes; matching names get a 404 '
        "unless a route serves them; "
        f'add the pattern to application_sets of backend "{backend.name}" in hub.yaml, or remove it from the backend'
    )


def _awaited_text(backend: BackendView) -> str:
    granted = ", ".join(f'"{pattern}"' for pattern in backend.granted)
    return (
        f'warning: backend "{backend.name}" has never connected to this hub, so names that match {granted} and were '
        "never answered get a 503; start it, or set expected: false in hub.yaml, or run: "
        f"appset-hub backends forget {backend.name}"
    )


def _problems(backend: BackendView) -> list[str]:
    """What is wrong with its instances; several behind one name may have the same trouble."""
    problems = [one.problem for one in backend.instances if one.problem]
    problems += [
        f"{one.instance} answers neither questions nor health checks; see its log, and restart it if it hangs"
        for one in backend.instances
        if one.state == "unresponsive"
    ]
    return list(dict.fromkeys(problems))


def _limited_text(backend: str, limited: Limited) -> str:
    return (
        f'note: backend "{backend}" says that its answers are fresh for {limited.wanted_s:g} s; cache.max of route '
        f'"{limited.route}" limits this to {limited.allowed_s:g} s'
    )


def _instance_cells(backend: BackendView, one: InstanceView | None) -> tuple[str, ...]:
    claims, ignored = (", ".join(patterns) or "-" for patterns in (backend.claimed, backend.ignored))
    keys = _keys_text(msgspec.structs.replace(backend.identity, backend=""))
    if one is None:
        return backend.state, claims, ignored, "-", "-", "0", keys
    return one.state, claims, ignored, one.kind, one.instance, str(one.in_flight), keys


@backends.command()
@click.argument("name")
@by_option
@operator_options
def forget(name: str, *, by: str, hub: Operator, as_json: bool) -> None:
    """Forget the claims of the backend NAME, so that the hub no longer waits for its sets.

    Argo CD then deletes the Applications that came only from this backend. Claims of instances that are still connected
    stay. If it has never connected, the hub stops waiting for it.
    """
    found = hub.post(f"/api/backends/{quote(name, safe='')}/forget", {"by": by}, Forgotten)
    if as_json:
        print_json(found)
    elif found.forgotten:
        say(f"forgotten: {', '.join(found.forgotten)}")
    elif found.never_seen:
        say("forgotten: it has never connected, and the hub no longer waits for it")
    else:
        say("there was nothing to forget")


@routes.command(name="forget-keys")
@click.argument("name")
@by_option
@operator_options
def forget_route_keys(name: str, *, by: str, hub: Operator, as_json: bool) -> None:
    """Forget the keys that were taught for the route NAME with accept --unique-by."""
    _forget_keys(hub, "routes", name, by, as_json=as_json)


@backends.command(name="forget-keys")
@click.argument("name")
@by_option
@operator_options
def forget_backend_keys(name: str, *, by: str, hub: Operator, as_json: bool) -> None:
    """Forget the keys that were taught for the backend NAME with accept --unique-by."""
    _forget_keys(hub, "backends", name, by, as_json=as_json)


def _forget_keys(hub: Operator, kind: str, name: str, by: str, *, as_json: bool) -> None:
    found = hub.post(f"/api/{kind}/{quote(name, safe='')}/forget-keys", {"by": by}, KeysForgottenView)
    if as_json:
        print_json(found)
    elif found.forgotten:
        say(f"forgotten: {', '.join(found.forgotten)}")
    else:
        say("no keys had been taught")

"""Absence is never removal: whoever goes away is waited for, and named."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.load import Load
from tests.e2e.support.processes import seconds_here
from tests.e2e.support.rig import port_of

if TYPE_CHECKING:
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

BOTH = [{"from": "images"}, {"from": "owners"}]
CLAIM = ("--application-sets", "fb-*")

JOINED_BY: dict[str, dict[str, Any]] = {
    "claims": {},
    "route": {"routes": [{"name": "previews", "application_sets": ["fb-*"], "backends": ["images", "owners"]}]},
}


@pytest.fixture(params=JOINED_BY)
def hub(rig: Rig, request: pytest.FixtureRequest) -> Hub:
    """A hub that combines two backends under one name, and says quickly that one is missing."""
    rig.configure(
        wait_for_absent="200ms",
        backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")],
        **JOINED_BY[request.param],
    )
    return rig.hub()


def attach(rig: Rig, hub: Hub, name: str) -> Process:
    backend = rig.sdk(name, hub, *CLAIM)
    backend.says("attached to hub")
    return backend


def test_a_killed_member_is_a_503_that_names_it_and_never_a_short_200(rig: Rig, hub: Hub) -> None:
    attach(rig, hub, "images")
    owners = attach(rig, hub, "owners")
    assert hub.ask("fb-1").sets == BOTH
    with Load(hub, "fb-1", callers=2) as load:
        owners.kill()
        hub.ask("fb-1").refuses(503, "backend_absent", '"owners"')
        load.flows(2)
        attach(rig, hub, "owners")
        back_s = time.monotonic()
        assert hub.ask("fb-1").sets == BOTH
        assert time.monotonic() - back_s < seconds_here(1)
        load.flows(2)
    assert load.troubles == []
    for reply in load.replies:
        if reply.status == 200:
            assert reply.sets == BOTH
        else:
            reply.refuses(503, "backend_absent", '"owners"')
    assert len({reply.body for reply in load.replies if reply.status == 503}) == 1, "the same fault has the same text"


def test_a_hub_that_restarts_while_a_member_is_down_does_not_forget_it(rig: Rig, hub: Hub) -> None:
    attach(rig, hub, "images")
    owners = attach(rig, hub, "owners")
    assert hub.ask("fb-1").sets == BOTH
    owners.kill()
    assert hub.stop() == 0, hub.output
    again = rig.hub_again(hub)
    again.joined("images")
    again.ask("fb-1").refuses(503, "backend_absent", '"owners"')
    attach(rig, again, "owners")
    back_s = time.monotonic()
    assert again.ask("fb-1").sets == BOTH
    assert time.monotonic() - back_s < seconds_here(1)


@pytest.mark.parametrize("kind", ["registered", "configured"])
def test_a_dialled_member_that_was_killed_is_named_and_back_within_a_second(rig: Rig, kind: str) -> None:
    owners = rig.sdk("owners", None, "--listen", "127.0.0.1:0")
    address = f"127.0.0.1:{port_of(owners)}"
    place: dict[str, Any] = {"address": address} if kind == "configured" else {"addresses": ["127.0.0.1:*"]}
    rig.configure(
        wait_for_absent="200ms",
        backends=[rig.backend("images"), rig.backend("owners", **place)],
        routes=[{"name": "previews", "application_sets": ["fb-*"], "backends": ["images", "owners"]}],
    )
    hub = rig.hub()
    attach(rig, hub, "images")
    options = ["--listen", address]
    if kind == "registered":
        owners.kill()
        options += ["--address", address]
        owners = rig.sdk("owners", hub, *options)
    hub.joined("owners")
    assert hub.ask("fb-1").sets == BOTH
    owners.kill()
    hub.ask("fb-1").refuses(503, "backend_absent", '"owners"')
    owners = rig.sdk("owners", hub if kind == "registered" else None, *options)
    owners.says("registered with the hub" if kind == "registered" else "listening on port")
    back_s = time.monotonic()
    statuses = []
    while (reply := hub.ask("fb-1")).status != 200:
        statuses.append(reply.status)
    assert time.monotonic() - back_s < seconds_here(1)
    assert reply.sets == BOTH
    assert set(statuses) <= {503}


def test_a_killed_hub_that_is_back_has_its_backends_within_a_second(rig: Rig) -> None:
    rig.configure(backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")])
    hub = rig.hub()
    backends = [attach(rig, hub, name) for name in ("images", "owners")]
    assert hub.ask("fb-1").sets == BOTH
    hub.kill()
    for backend in backends:
        backend.says("not attached to the hub")
    again = rig.hub_again(hub)
    back_s = time.monotonic()
    assert again.ask("fb-1").sets == BOTH
    assert time.monotonic() - back_s < seconds_here(1)


def test_a_new_hub_waits_for_a_backend_that_never_connected_until_an_operator_forgets_it(rig: Rig) -> None:
    rig.configure(backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")])
    hub = rig.hub()
    attach(rig, hub, "images")
    hub.ask("fb-1").refuses(503, "backend_never_seen", '"owners"')
    admin = f"http://127.0.0.1:{hub.admin}"
    shown = rig.command("backends", "list", "--admin", admin)
    assert shown.code == 0, shown
    assert 'backend "owners" has never connected' in shown.err
    explained = rig.command("explain", "fb-1", "--admin", admin)
    assert explained.code == 1
    assert "backends forget owners" in explained.err
    done = rig.command("backends", "forget", "owners", "--admin", admin)
    assert (done.code, done.out) == (0, "forgotten: it has never connected, and the hub no longer waits for it\n")
    assert hub.ask("fb-1").sets == BOTH[:1]
    assert hub.stop() == 0, hub.output
    again = rig.hub_again(hub)
    again.joined("images")
    assert again.ask("fb-2").sets == BOTH[:1]


def test_only_an_operator_takes_a_member_away(rig: Rig) -> None:
    rig.configure(
        wait_for_absent="100ms",
        backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")],
    )
    hub = rig.hub()
    attach(rig, hub, "images")
    owners = attach(rig, hub, "owners")
    assert owners.stop() == 0, owners.output
    hub.event("instance_left", backend="owners")
    hub.ask("fb-1").refuses(503, "backend_absent", '"owners"')
    done = rig.command("backends", "forget", "owners", "--admin", f"http://127.0.0.1:{hub.admin}")
    assert done.code == 0, done
    assert "fb-*" in done.out
    assert hub.ask("fb-1").sets == BOTH[:1]

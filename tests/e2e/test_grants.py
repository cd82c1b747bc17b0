"""A backend that claims names outside its grant: both sides say so, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.rig import free_port

if TYPE_CHECKING:
    from tests.e2e.support.rig import Hub, Rig

IGNORED = 'ignores the claim "x-*": its configuration does not grant it to backend "images"'


@pytest.fixture
def hub(rig: Rig) -> Hub:
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*"], addresses=["127.0.0.1:*"])])
    return rig.hub()


def test_hub_backend_metric_and_commands_name_the_claim(rig: Rig, hub: Hub) -> None:
    backend = rig.sdk("images", hub, "--application-sets", "fb-*", "x-*")
    assert IGNORED in backend.says("ignores the claim")
    event = hub.event("claim_ignored", level="warning")
    assert (event["backend"], event["patterns"], event["granted"]) == ("images", ["x-*"], ["fb-*"])
    assert hub.metric("appset_hub_ignored_claims", backend="images") == 1

    admin = ("--admin", f"http://127.0.0.1:{hub.admin}")
    assert hub.get("/api/backends").json[0]["ignored"] == ["x-*"]
    listed = rig.command("backends", "list", *admin)
    head, line = listed.out.splitlines()
    assert head.split()[:5] == ["BACKEND", "STATE", "CLAIMS", "NOT", "GRANTED"]
    assert line.split()[:5] == ["images", "ready", "fb-*,", "x-*", "x-*"]
    assert 'warning: backend "images" claims "x-*", which its grant excludes; matching names get a 404' in listed.err
    explained = rig.command("explain", "x-1", *admin)
    assert (
        'backend "images" claims it, but its grant excludes the name: application_sets of this backend in hub.yaml has '
        'only "fb-*"'
    ) in explained.out
    hub.ask("x-1").refuses(404, "nobody_serves", 'backend "images" claims it, but its grant')
    assert hub.ask("fb-1").status == 200


def test_a_wider_grant_ends_it_without_a_restart(rig: Rig, hub: Hub) -> None:
    address = f"127.0.0.1:{free_port()}"
    options = ("--application-sets", "x-*", "--listen", address, "--address", address)
    assert IGNORED in rig.sdk("images", hub, *options).says("ignores the claim")
    hub.ask("x-1").refuses(404, "nobody_serves")
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*", "x-*"], addresses=["127.0.0.1:*"])])
    hub.event("configuration_reloaded")
    assert hub.metric("appset_hub_ignored_claims", backend="images") == 0
    assert hub.ask("x-1").status == 200


def test_a_claim_that_is_partly_granted_is_no_warning(rig: Rig, hub: Hub) -> None:
    rig.sdk("images", hub, "--application-sets", "*")
    hub.joined("images")
    assert hub.ask("fb-1").status == 200
    assert hub.events("claim_ignored") == []
    assert hub.metric("appset_hub_ignored_claims", backend="images") == 0

"""A new configuration without a restart: the good one without a lost request, the bad one not at all."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.load import Load
from tests.e2e.support.rig import free_port

if TYPE_CHECKING:
    from tests.e2e.support.rig import Hub, Rig


def routed(rig: Rig, backend: str, **settings: Any) -> dict[str, Any]:
    """A configuration with one route to one of two backends."""
    return {
        "backends": [rig.backend("images"), rig.backend("owners")],
        "routes": [{"name": "previews", "application_sets": ["fb-*"], "backends": [backend]}],
        **settings,
    }


@pytest.fixture
def hub(rig: Rig) -> Hub:
    rig.configure(**routed(rig, "images"))
    hub = rig.hub()
    for name in ("images", "owners"):
        rig.sdk(name, hub)
    hub.joined("images", "owners")
    return hub


def test_tokens_and_routes_change_under_load_without_a_lost_request(rig: Rig, hub: Hub) -> None:
    tokens = {"files": [rig.token("argocd"), rig.token("next")], "in use": "argocd-token"}
    with Load(hub, "fb-1", token=lambda: str(tokens["in use"])) as load:
        rig.configure(**routed(rig, "owners"), clients=[{"name": "argocd", "tokens": tokens["files"]}])
        hub.event("configuration_reloaded")
        load.flows()
        assert hub.ask("fb-1", token="next-token").sets == [{"from": "owners"}]
        tokens["in use"] = "next-token"
        load.flows()
        mark = hub.mark()
        rig.configure(**routed(rig, "owners"), clients=[{"name": "argocd", "tokens": tokens["files"][1:]}])
        hub.event("configuration_reloaded", after=mark)
        load.flows()
    assert load.troubles == []
    assert {reply.status for reply in load.replies} == {200}
    assert [reply.sets for reply in load.replies[-1:]] == [[{"from": "owners"}]]
    hub.ask("fb-1", token="argocd-token").refuses(403, "token_wrong")
    assert {reply.sets[0]["from"] for reply in load.replies} == {"images", "owners"}


def test_a_token_that_changes_in_its_file_is_taken(rig: Rig, hub: Hub) -> None:
    rig.token("argocd", "rotated")
    hub.event("configuration_reloaded")
    assert hub.ask("fb-1", token="rotated").status == 200
    hub.ask("fb-1", token="argocd-token").refuses(403, "token_wrong")


def test_a_bad_file_keeps_the_old_state_and_says_so(rig: Rig, hub: Hub) -> None:
    rig.configure(**routed(rig, "images"), deadline="soon", wait_for_absent="later")
    kept = hub.event("configuration_kept", level="error")
    first, second = kept["problem"].split(f"; {rig.config}:")
    assert first.startswith(f"{rig.config}:")
    assert "deadline: expected a duration" in first
    assert "wait_for_absent: expected a duration" in second
    assert hub.metric("appset_hub_configuration_reloads_total", result="failed") == 1
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 0
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    rig.configure(**routed(rig, "owners"))
    hub.event("configuration_reloaded")
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 1
    assert hub.ask("fb-1").sets == [{"from": "owners"}]


def test_sighup_reads_the_configuration_again(hub: Hub) -> None:
    hub.signal(signal.SIGHUP)
    hub.event("configuration_reloaded")
    assert hub.metric("appset_hub_configuration_reloads_total", result="ok") == 1
    assert hub.ask("fb-1").sets == [{"from": "images"}]


def test_a_setting_that_needs_a_restart_is_named(rig: Rig, hub: Hub) -> None:
    rig.configure(**routed(rig, "images"), limits={"max_sets": 1})
    reloaded = hub.event("configuration_reloaded", level="warning")
    assert reloaded["needs_restart"] == ["limits"]
    assert hub.ask("fb-1").status == 200


def test_a_backend_that_is_no_longer_configured_leaves(rig: Rig, hub: Hub) -> None:
    rig.configure(**{**routed(rig, "images"), "backends": [rig.backend("images")]})
    hub.event("instance_left", backend="owners")
    assert hub.ask("fb-1").sets == [{"from": "images"}]


def test_a_changed_listen_address_is_no_success_and_shown_until_it_is_in_force(rig: Rig, hub: Hub) -> None:
    listen = {"http": f"127.0.0.1:{free_port()}", "grpc": "127.0.0.1:0", "admin": "127.0.0.1:0"}
    rig.configure(**routed(rig, "owners"), listen=listen)
    reloaded = hub.event("configuration_reloaded", level="warning")
    assert reloaded["needs_restart"] == ["listen.http"]
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 0
    assert hub.metric("appset_hub_configuration_needs_restart") == 1
    assert hub.metric("appset_hub_configuration_reloads_total", result="partial") == 1
    ready = hub.get("/readyz")
    assert (ready.status, ready.json["needs_restart"]) == (200, ["listen.http"])
    # Everything else is in force, and the old port still serves.
    assert hub.ask("fb-1").sets == [{"from": "owners"}]
    mark = hub.mark()
    rig.configure(**routed(rig, "owners"))
    hub.event("configuration_reloaded", level="info", after=mark)
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 1
    assert hub.get("/readyz").json["needs_restart"] == []

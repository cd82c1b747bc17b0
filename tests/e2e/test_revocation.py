"""What is revoked is out within a second, whatever is open."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.processes import seconds_here, until
from tests.e2e.support.rig import BACKENDS

if TYPE_CHECKING:
    from tests.e2e.support.calls import Reply
    from tests.e2e.support.rig import Hub, Rig

WITHIN_S = 1.0


def settings(rig: Rig, *backends: dict[str, Any]) -> dict[str, Any]:
    return {
        "backends": list(backends) or [rig.backend("images", application_sets=["fb-*"])],
        "routes": [{"name": "previews", "application_sets": ["fb-*"], "backends": ["images"]}],
        "wait_for_absent": "100ms",
        "log": {"level": "debug"},
    }


def backend(hub: Hub, rig: Rig, token: str) -> tuple[object, ...]:
    """The command of an instance that shows this token."""
    return (
        *(sys.executable, BACKENDS / "sdk_backend.py", "--name", "images", "--application-sets", "fb-*"),
        *("--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / token),
    )


@pytest.fixture
def hub(rig: Rig) -> Hub:
    rig.configure(**settings(rig))
    hub = rig.hub()
    # With a copy of the token: the backend does not learn that it changes.
    rig.token("copy", "images-token")
    rig.start(*backend(hub, rig, "copy"))
    hub.joined("images")
    return hub


def test_a_revoked_backend_token_ends_its_stream_within_a_second_also_with_a_question_on_it(rig: Rig, hub: Hub) -> None:
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(hub.ask("fb-1", {"wait_s": 20})))
    caller.start()
    until(lambda: hub.metric("appset_hub_requests_in_flight") == 1, "a question is under way")
    mark = hub.mark()
    (rig.folder / "tokens" / "images").write_text("another-token-for-images")
    hub.event("configuration_reloaded", after=mark)
    began_s = time.monotonic()
    ended = hub.event("stream_ended", after=mark)
    assert time.monotonic() - began_s < seconds_here(WITHIN_S)
    assert ended["cause"] == "its credentials are no longer valid"
    hub.event("instance_left", backend="images", cause="its credentials are no longer valid", after=mark)
    hub.ask("fb-1").refuses(503, "backend_absent")
    caller.join()
    assert replies[0].status in (502, 503)
    # It comes again, and is refused.
    hub.event("registration_refused", backend="images", after=mark)


def test_the_stream_of_a_backend_that_is_removed_ends_within_a_second(rig: Rig, hub: Hub) -> None:
    caller = threading.Thread(target=lambda: hub.ask("fb-1", {"wait_s": 20}))
    caller.start()
    until(lambda: hub.metric("appset_hub_requests_in_flight") == 1, "a question is under way")
    mark = hub.mark()
    rig.configure(log={"level": "debug"})
    hub.event("configuration_reloaded", after=mark)
    began_s = time.monotonic()
    hub.event("stream_ended", backend="images", after=mark)
    assert time.monotonic() - began_s < seconds_here(WITHIN_S)
    caller.join()


def test_a_backend_that_has_moved_to_the_new_token_stays_when_the_old_one_is_revoked(rig: Rig, hub: Hub) -> None:
    both = {"name": "images", "application_sets": ["fb-*"], "tokens": [rig.token("images"), rig.token("next")]}
    mark = hub.mark()
    rig.configure(**settings(rig, both))
    hub.event("configuration_reloaded", after=mark)
    rig.start(*backend(hub, rig, "next"))
    hub.joined("images", after=mark)
    mark = hub.mark()
    rig.configure(**settings(rig, {**both, "tokens": both["tokens"][1:]}))
    hub.event("configuration_reloaded", after=mark)
    hub.event("stream_ended", cause="its credentials are no longer valid", after=mark)
    assert hub.ask("fb-1").sets == [{"from": "images"}]


def test_a_revoked_client_token_is_refused_on_a_connection_that_stays_open(rig: Rig, hub: Hub) -> None:
    kept = hub.connect()
    assert kept.ask("fb-1", token="argocd-token").status == 200
    rig.token("argocd", "rotated-token")
    hub.event("configuration_reloaded")
    kept.ask("fb-1", token="argocd-token").refuses(403, "token_wrong")
    assert kept.ask("fb-1", token="rotated-token").status == 200
    kept.close()

"""SIGTERM under load: every request that was accepted is answered."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.load import Load
from tests.e2e.support.processes import until

if TYPE_CHECKING:
    from tests.e2e.support.calls import Reply
    from tests.e2e.support.rig import Hub, Rig

DELAY_S = 1.0


@pytest.fixture
def hub(rig: Rig) -> Hub:
    rig.configure(
        backends=[rig.backend("images", application_sets=["*"])],
        drain={"delay": f"{DELAY_S:.0f}s", "timeout": "20s"},
    )
    hub = rig.hub()
    rig.sdk("images", hub, "--application-sets", "*")
    hub.joined("images")
    return hub


def test_sigterm_under_load_answers_every_request_that_was_accepted(hub: Hub) -> None:
    slow: list[Reply] = []
    # Longer than the delay: these are still in flight when nothing new is taken any more.
    slow_callers = [
        threading.Thread(target=lambda: slow.append(hub.ask("slow", {"wait_s": 2 * DELAY_S}))) for _ in range(4)
    ]
    with Load(hub, "quick", callers=6, until_closed=True) as quick:
        for caller in slow_callers:
            caller.start()
        until(lambda: (hub.metric("appset_hub_requests_in_flight") or 0) >= len(slow_callers), "all are in flight")
        hub.signal(signal.SIGTERM)
        for one in quick.callers:
            one.join()
    for caller in slow_callers:
        caller.join()
    assert quick.troubles == []
    assert {reply.status for reply in quick.replies} == {200}
    assert all(one.was_closed for one in quick.callers), "each was told to go elsewhere before its connection closed"
    assert [reply.sets for reply in slow] == [[{"from": "images"}]] * len(slow_callers)
    assert hub.wait() == 0, hub.output


def test_a_draining_hub_goes_on_answering_but_sends_callers_elsewhere(hub: Hub) -> None:
    kept = hub.connect()
    assert kept.ask("before", token="argocd-token").headers.get("connection") != "close"
    hub.signal(signal.SIGTERM)
    hub.event("hub_stopping", signal="SIGTERM")
    until(lambda: hub.get("/readyz").status == 503, "the hub is not ready")
    assert "draining" in hub.get("/readyz").json["missing"][0]
    for reply in (kept.ask("after", token="argocd-token"), hub.ask("new")):
        assert reply.sets == [{"from": "images"}]
        assert reply.headers["connection"].lower() == "close"
    kept.close()
    assert hub.wait() == 0


def test_ctrl_c_does_not_wait_for_the_drain_delay(hub: Hub) -> None:
    hub.signal(signal.SIGINT)
    assert hub.wait() == 0
    assert hub.events("internal_fault") == []


def test_a_backend_on_the_sdk_finishes_what_it_has_when_it_is_told_to_stop(rig: Rig) -> None:
    rig.configure(backends=[rig.backend("images", application_sets=["*"])])
    hub = rig.hub()
    backend = rig.sdk("images", hub, "--application-sets", "*")
    hub.joined("images")
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(hub.ask("slow", {"wait_s": 0.7})))
    caller.start()
    backend.event("asked")
    assert backend.stop() == 0, backend.output
    caller.join()
    assert [reply.sets for reply in replies] == [[{"from": "images"}]]

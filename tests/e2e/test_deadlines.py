"""Nobody works for an answer that nobody waits for: deadlines, and callers who hang up."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.calls import request
from tests.e2e.support.rig import port_of

if TYPE_CHECKING:
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

LONG = {"wait_s": 60}
DEADLINE_S = 0.7
GRACE_S = 2.0  # To notice, on a machine that does much else; without a deadline it would take a minute.


class Slow:
    """A hub with a route to one slow backend."""

    def __init__(self, hub: Hub, backend: Process) -> None:
        self.hub = hub
        self.backend = backend


@pytest.fixture(params=["sdk-attached", "sdk-dialled", "stubs-attached", "stubs-dialled"])
def slow(rig: Rig, request: pytest.FixtureRequest) -> Slow:
    """The backend thinks for as long as the input says; the route ``quick`` gives it less."""
    author, _, how = request.param.partition("-")
    start = {"sdk": rig.sdk, "stubs": rig.stubs}[author]
    place: dict[str, Any] = {}
    if how == "dialled":
        backend = start("slow", None, *(["--listen", "127.0.0.1:0"] if author == "sdk" else []))
        place = {"address": f"127.0.0.1:{port_of(backend)}"}
    rig.configure(
        backends=[rig.backend("slow", **place)],
        routes=[
            {"name": "quick", "backends": ["slow"], "deadline": f"{DEADLINE_S * 1000:.0f}ms"},
            {"name": "patient", "backends": ["slow"], "deadline": "50s"},
        ],
    )
    hub = rig.hub()
    if how == "attached":
        backend = start("slow", hub)
    hub.joined("slow")
    return Slow(hub, backend)


def test_a_slow_backend_is_a_504_inside_the_deadline_and_sees_the_cancellation(slow: Slow) -> None:
    began_s = time.monotonic()
    reply = slow.hub.ask("late", LONG, route="quick")
    took_s = time.monotonic() - began_s
    reply.refuses(504, "deadline_passed", '"slow"')
    assert DEADLINE_S - 0.1 < took_s < DEADLINE_S + GRACE_S
    slow.backend.event("cancelled", name="late")
    assert time.monotonic() - began_s < DEADLINE_S + 2 * GRACE_S
    assert slow.backend.events("answered") == []
    assert slow.hub.ask("next", route="quick").status == 200


def test_a_caller_who_hangs_up_cancels_the_question_at_the_backend(slow: Slow) -> None:
    body = json.dumps({"applicationSetName": "gone", "input": {"parameters": LONG}}).encode()
    with socket.create_connection(("127.0.0.1", slow.hub.http)) as caller:
        caller.sendall(request(body, path="/patient/api/v1/getparams.execute"))
        slow.backend.event("asked", name="gone")
    gone_s = time.monotonic()
    slow.backend.event("cancelled", name="gone")
    assert time.monotonic() - gone_s < GRACE_S
    assert slow.hub.ask("next", route="patient").status == 200
    assert slow.hub.metric("appset_hub_requests_in_flight") == 0

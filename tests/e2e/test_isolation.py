"""A real backend that hangs, and a real neighbour. ``pytest -s`` prints the figures."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.support.calls import Reply
    from tests.e2e.support.rig import Hub, Rig

QUESTIONS = 256  # As many as a client may have in flight by default.
HANGS = {"wait_s": 60}


def route(name: str, backend: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "application_sets": [f"{name}-*"], "backends": [backend], "deadline": "10s", **more}


def timed(hub: Hub, name: str, **parameters: Any) -> tuple[Reply, float]:
    began_s = time.monotonic()
    return hub.ask(name, parameters), time.monotonic() - began_s


def show(text: str) -> None:
    print(f"\n{text}")  # noqa: T201 - the figures are what is wanted.


def serving(rig: Rig, *routes: dict[str, Any], **settings: Any) -> Hub:
    rig.configure(backends=[rig.backend("slow"), rig.backend("well")], routes=list(routes), **settings)
    hub = rig.hub()
    for name in ("slow", "well"):
        rig.sdk(name, hub)
    hub.joined("slow", "well")
    return hub


def test_256_questions_that_hang_on_one_route_leave_the_others_alone(rig: Rig) -> None:
    hub = serving(rig, route("stuck", "slow"), route("well", "well"))
    with ThreadPoolExecutor(QUESTIONS) as pool:
        hanging = [pool.submit(timed, hub, f"stuck-{number}", **HANGS) for number in range(QUESTIONS)]
        while hub.metric("appset_hub_route_requests_in_flight", route="stuck") != QUESTIONS / 2:
            time.sleep(0.05)  # The threads are still sending.
        neighbour, took_s = timed(hub, "well-1")
        replies = [one.result() for one in hanging]
    assert neighbour.sets == [{"from": "well"}]
    refused = [(reply, took) for reply, took in replies if reply.status == 503]
    late = [reply for reply, _ in replies if reply.status == 504]
    assert len(refused) + len(late) == QUESTIONS
    assert refused
    assert {reply.json["error"] for reply, _ in refused} == {"route_busy"}
    show(
        f"{QUESTIONS} hang on a route: {len(refused)} get a 503 at once, its neighbour a 200 in {took_s * 1000:.0f} ms"
    )


def test_a_busy_backend_is_refused_within_seconds_and_then_at_once(rig: Rig) -> None:
    hub = serving(rig, route("stuck", "slow"), limits={"backend_in_flight": 2})
    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(timed, hub, f"stuck-{number}", **HANGS) for number in range(2)]
        while (hub.get("/api/backends").json[0]["instances"] or [{}])[0].get("in_flight") != 2:
            time.sleep(0.05)
        first, first_s = timed(hub, "stuck-a")
        second, second_s = timed(hub, "stuck-b")
        for one in hanging:
            one.result()
    for reply in (first, second):
        reply.refuses(503, "backend_busy")
    assert 2.5 < first_s < 8
    assert second_s < 1
    show(f"all instances hang: backend_busy after {first_s:.1f} s, then after {second_s * 1000:.0f} ms")


def test_a_shared_answer_is_younger_than_its_question_but_for_a_second(rig: Rig) -> None:
    hub = serving(rig, route("slow", "slow"))
    with ThreadPoolExecutor(8) as pool:
        asking = []
        for _ in range(8):
            asking.append(pool.submit(timed, hub, "slow-1", wait_s=3))
            time.sleep(0.5)
        took_s = [one.result()[1] for one in asking]
        assert {one.result()[0].status for one in asking} == {200}
    # An answer takes three seconds: whoever waited less than that shares one that began before he asked.
    oldest_s = 3 - min(took_s)
    assert oldest_s < 1.5
    show(f"a call of 3 s, asked every 0.5 s: the oldest answer began {max(0.0, oldest_s):.1f} s before its question")

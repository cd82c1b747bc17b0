"""A backend that is frozen, cut off or restarted in the middle of a question: noticed in time, and asked again once."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.support.processes import json_of, seconds_here, until
from tests.e2e.support.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.calls import Reply
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

EVERY_S = 0.2
PATIENCE_S = 6 * EVERY_S
DOCUMENTED_S = 15.0
CLAIM = ("--application-sets", "fb-*")


def hub_of(rig: Rig, **more: Any) -> Hub:
    """A hub with one backend, on which silence is noticed soon."""
    settings = {"limits": {"heartbeat": f"{EVERY_S}s"}, "wait_for_absent": "100ms", **more}
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*"])], **settings)
    return rig.hub()


def attach(rig: Rig, hub: Hub, *options: object) -> Process:
    marked = hub.mark()
    backend = rig.sdk("images", hub, *CLAIM, *options)
    hub.joined("images", after=marked)
    backend.says("attached to hub")
    return backend


def through(rig: Rig, tunnel: Tunnel, hub: Hub) -> Process:
    """A backend that is attached through a tunnel."""
    marked = hub.mark()
    where = ("--hub", tunnel.address, "--token-file", rig.folder / "tokens" / "images")
    backend = rig.sdk("images", None, *where, *CLAIM)
    hub.joined("images", after=marked)
    backend.says("attached to hub")
    return backend


@contextmanager
def frozen(process: Process) -> Iterator[None]:
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


class Asking:
    """One question that is under way; ``reply`` waits for it."""

    def __init__(self, hub: Hub, **parameters: Any) -> None:
        self._replies: list[Reply] = []
        self._thread = threading.Thread(target=lambda: self._replies.append(hub.ask("fb-1", parameters)), daemon=True)
        self._thread.start()

    @property
    def reply(self) -> Reply:
        self._thread.join(30)
        (reply,) = self._replies
        return reply


def test_a_frozen_backend_is_no_longer_asked_and_comes_back_without_a_warning(rig: Rig) -> None:
    hub = hub_of(rig)
    backend = attach(rig, hub)
    marked = hub.mark()
    with frozen(backend):
        began_s = time.monotonic()
        left = hub.event("instance_left", after=marked)
        assert time.monotonic() - began_s < seconds_here(PATIENCE_S + 0.5)
        assert left["cause"] == "it sent nothing for 1 s, not even a heartbeat"
        hub.ask("fb-1").refuses(503, "backend_absent", '"images"')
    hub.joined("images", after=marked)
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    warnings = {json_of(line)["event"] for line in hub.lines[marked:] if json_of(line).get("level") == "warning"}
    assert warnings <= {"refused"}, "that is the refusal above"
    assert "not attached to the hub" not in backend.output


def test_a_frozen_backend_that_knows_no_heartbeats_is_noticed_by_its_silence_to_pings(rig: Rig) -> None:
    hub = hub_of(rig)
    marked = hub.mark()
    backend = rig.stubs("images", hub, *CLAIM)
    hub.joined("images", after=marked)
    assert hub.ask("fb-1").status == 200
    with frozen(backend):
        began_s = time.monotonic()
        hub.event("instance_left", after=marked)
        assert time.monotonic() - began_s < DOCUMENTED_S + seconds_here(2)


def test_a_question_to_a_frozen_instance_goes_to_the_other_one(rig: Rig) -> None:
    hub = hub_of(rig)
    backends = {name: attach(rig, hub, "--sets", f'[{{"from":"{name}"}}]') for name in ("first", "second")}
    asking = Asking(hub, wait_s=1)
    until(lambda: any(backend.events("asked") for backend in backends.values()), "one is asked")
    asked, other = sorted(backends, key=lambda name: not backends[name].events("asked"))
    with frozen(backends[asked]):
        began_s = time.monotonic()
        assert asking.reply.sets == [{"from": other}]
        assert time.monotonic() - began_s < seconds_here(PATIENCE_S + 2)


def test_a_black_hole_is_noticed_from_both_ends_and_the_question_is_asked_again(rig: Rig) -> None:
    hub = hub_of(rig, wait_for_absent="20s")
    with Tunnel(hub.grpc) as tunnel:
        backend = through(rig, tunnel, hub)
        asking = Asking(hub, wait_s=0.5)
        backend.event("asked")
        marked = hub.mark()
        began_s = time.monotonic()
        tunnel.swallow()
        tunnel.heal()
        assert hub.event("instance_left", after=marked)["cause"].startswith("it sent nothing for 1 s")
        backend.says("nothing was heard from the hub for 1 s")
        hub.joined("images", after=marked)
        assert time.monotonic() - began_s < seconds_here(2 * PATIENCE_S + 1)
        assert asking.reply.sets == [{"from": "images"}]
        assert hub.event("ask_retried")["cause"] == "InstanceLost"


def test_a_hub_that_was_frozen_itself_keeps_its_backends(rig: Rig) -> None:
    hub = hub_of(rig)
    backend = attach(rig, hub)
    marked = hub.mark()
    with frozen(hub):
        backend.says("nothing was heard from the hub for 1 s")
    hub.joined("images", after=marked)
    assert hub.ask("fb-1").sets == [{"from": "images"}]


def test_a_single_instance_that_is_killed_in_the_middle_is_waited_for_and_asked_again(rig: Rig) -> None:
    hub = hub_of(rig, wait_for_absent="20s")
    backend = attach(rig, hub)
    asking = Asking(hub, wait_s=0.5)
    backend.event("asked")
    backend.kill()
    again = rig.sdk("images", hub, *CLAIM)
    assert asking.reply.sets == [{"from": "images"}]
    assert [event["cause"] for event in hub.events("ask_retried")] == ["InstanceLost"]
    assert len(again.events("asked")) == 1


def test_a_single_instance_that_does_not_come_back_is_waited_for_no_longer_than_configured(rig: Rig) -> None:
    hub = hub_of(rig)
    backend = attach(rig, hub)
    asking = Asking(hub, wait_s=20)
    backend.event("asked")
    began_s = time.monotonic()
    backend.kill()
    asking.reply.refuses(503, "backend_absent", '"images"')
    assert time.monotonic() - began_s < seconds_here(1)

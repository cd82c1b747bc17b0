"""Backends are killed, frozen and cut off under load: ``make campaign-backends`` prints its figures."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.e2e.support.load import Load
from tests.e2e.support.processes import seconds_here
from tests.e2e.support.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

DURATION_S = float(os.environ.get("APPSET_HUB_CAMPAIGN_S", "0"))
EXPECTED = [{"from": "images"}, {"from": "owners"}]
# A short run notices silence sooner; a long one has the defaults of a hub.
HEARTBEAT_S = 2.0 if DURATION_S else 0.2
SILENCE_S = 6 * HEARTBEAT_S
START_S = 3.0
"""For a new process until it is attached, on a machine that has the time."""


class Campaign:
    """A hub whose route needs two backends; what happens, happens to the instances of one of them."""

    def __init__(self, rig: Rig, tunnel: Tunnel, hub: Hub) -> None:
        self._rig = rig
        self._tunnel = tunnel
        self.hub = hub
        self.start("owners")
        self.backend = self.start("images", tunnel.address)
        self.second: Process | None = None
        self.outages: dict[str, float] = {}
        self.wrong: list[str] = []
        self.faults: list[tuple[str, Callable[[], None], float]] = [
            ("killed, alone", self._kill, START_S),
            ("frozen, alone", self._freeze, SILENCE_S + 2.0),
            ("cut off, alone", self._cut_off, 2 * SILENCE_S + 2.0),
            ("killed, one of two", self._kill, 1.0),
            ("frozen, one of two", self._freeze, SILENCE_S + 1.0),
            ("cut off, one of two", self._cut_off, SILENCE_S + 1.0),
        ]

    def start(self, name: str, address: str | None = None) -> Process:
        where = ("--hub", address or self.hub.grpc_address, "--token-file", self._rig.folder / "tokens" / name)
        backend = self._rig.sdk(name, None, *where, "--application-sets", "fb-*")
        backend.says("attached to hub")
        return backend

    def _kill(self) -> None:
        self.backend.kill()
        self.backend = self.start("images", self._tunnel.address)

    def _freeze(self) -> None:
        marked = self.hub.mark()
        self.backend.signal(signal.SIGSTOP)
        try:
            self.hub.event("instance_left", after=marked, backend="images")
        finally:
            self.backend.signal(signal.SIGCONT)
        self.hub.joined("images", after=marked)

    def _cut_off(self) -> None:
        marked = self.hub.mark()
        self._tunnel.swallow()
        self._tunnel.heal()
        self.hub.event("instance_left", after=marked, backend="images")
        self.hub.joined("images", after=marked)

    def round(self, kind: str, fault: Callable[[], None], *loads: Load) -> None:
        """Do one thing to the instance; how long was there no good answer meanwhile?"""
        if "of two" in kind and self.second is None:
            self.second = self.start("images")
        callers = [caller for load in loads for caller in load.callers]
        for load in loads:
            load.flows()
        counts = [len(caller.replies) for caller in callers]
        fault()
        for load in loads:
            load.flows()
        for caller, count in zip(callers, counts, strict=True):
            self._note(kind, caller.times[count - 1 :], [reply.status == 200 for reply in caller.replies[count - 1 :]])

    def _note(self, kind: str, times: list[float], good: list[bool]) -> None:
        last_s = times[0]
        for at_s, was_good in zip(times, good, strict=False):
            if was_good:
                self.outages[kind] = max(self.outages.get(kind, 0.0), at_s - last_s)
                last_s = at_s


def test_backends_that_are_killed_frozen_and_cut_off_bring_no_wrong_200_and_are_back_in_time(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.configure(
        backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")],
        routes=[{"name": "previews", "application_sets": ["fb-*"], "backends": ["images", "owners"]}],
        limits={"heartbeat": f"{HEARTBEAT_S}s"},
    )
    hub = rig.hub()
    statuses: dict[int, int] = {}
    with Tunnel(hub.grpc) as tunnel:
        campaign = Campaign(rig, tunnel, hub)
        until_s, rounds = time.monotonic() + DURATION_S, 0
        # Different questions, because equal ones would share one call, and one instance.
        questions = [{"wait_s": 0.05 + number / 1000} for number in range(3)]
        with ExitStack() as stack:
            loads = [stack.enter_context(Load(hub, "fb-1", callers=1, parameters=one)) for one in questions]
            while rounds < len(campaign.faults) or time.monotonic() < until_s:
                kind, fault, _ = campaign.faults[rounds % len(campaign.faults)]
                if rounds % len(campaign.faults) == 0 and campaign.second is not None:
                    campaign.second.kill()
                    campaign.second = None
                campaign.round(kind, fault, *loads)
                rounds += 1
    for reply in (reply for load in loads for reply in load.replies):
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        if reply.status == 200 and reply.sets != EXPECTED:
            campaign.wrong.append(str(reply))
    with capsys.disabled():
        outages = ", ".join(f"{kind}: {outage_s:.1f} s" for kind, outage_s in campaign.outages.items())
        sys.stdout.write(
            f"\n{rounds} faults, {sum(statuses.values())} requests {statuses}, {len(campaign.wrong)} wrong 200s\n"
            f"longest outage: {outages}\n"
        )
    assert campaign.wrong == []
    assert [trouble for load in loads for trouble in load.troubles] == []
    assert set(statuses) <= {200, 503}
    for kind, _, documented_s in campaign.faults:
        assert campaign.outages[kind] < seconds_here(documented_s), kind
    assert hub.events("internal_fault") == []
    assert hub.stop() == 0

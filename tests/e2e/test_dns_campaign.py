"""A campaign of faults around the addresses of a dialled backend, under load: ``make campaign-dns`` prints it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.e2e.support.hosts import PrivateHosts
from tests.e2e.support.rig import free_port, port_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.e2e.support.calls import Reply
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

DURATION_S = float(os.environ.get("APPSET_HUB_CAMPAIGN_S", "20"))
SHORT_S = 60.0  # Up to this, each fault happens once and a name is looked up each two seconds; else as by default.
CALLERS = 8
NAME = "images.test"
EXPECTED = [{"from": "images"}]

MOVED_WITHIN_S = 2.0
NOTICED_WITHIN_S = 10.0
SLACK_S = 2.5  # For a machine that is busy with other things.


@dataclass(frozen=True, slots=True)
class Call:
    """One request: when it began and ended, and what came back."""

    began_s: float
    ended_s: float
    reply: Reply


class Callers:
    """Keep asking, side by side, and remember when each reply came."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ended = threading.Event()
        self.calls: list[Call] = []
        self.trouble: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        connection = self._hub.connect()
        count = 0
        try:
            while not self._ended.is_set():
                began_s = time.monotonic()
                count += 1
                # Each a question of its own, so that none shares the call of another.
                reply = connection.ask(f"fb-{number}", {"n": f"{count % 50}"}, token="argocd-token")
                self.calls.append(Call(began_s, time.monotonic(), reply))
                self._ended.wait(0.02)  # A load, not a benchmark: two processors run all of this.
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it.
            self.trouble.append(error)
        finally:
            connection.close()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(40)

    def gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a 200."""
        times = sorted(one.ended_s for one in self.calls if since_s <= one.ended_s <= until_s and good(one.reply))
        marks = [since_s, *times, until_s]
        return max(after - before for before, after in pairwise(marks))

    def slowest_s(self, since_s: float, until_s: float) -> float:
        return max((one.ended_s - one.began_s for one in self.calls if since_s <= one.ended_s <= until_s), default=0.0)


def good(reply: Reply) -> bool:
    return reply.status == 200 and reply.sets == EXPECTED


class Campaign:
    """A hub, and processes at addresses that come and go."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._names = PrivateHosts(rig.folder)
        self._port = free_port()
        self._last = 1
        self.every_s = 2.0 if DURATION_S <= SHORT_S else 25.0
        self.processes: dict[str, Process] = {}
        for _ in range(2):
            self.start()
        self.lists(*self.processes)
        rig.configure(
            dial={"resolve_every": f"{self.every_s:g}s"},
            backends=[{"name": "images", "address": f"{NAME}:{self._port}", "application_sets": ["fb-*"]}],
        )
        self.hub = rig.hub(within=self._names.within)
        self.settled()
        self.found: dict[str, list[float]] = {}
        self.limits: dict[str, float] = {}

    def start(self) -> str:
        """Start a process at an address that was never used."""
        self._last += 1
        host = f"127.0.{self._last // 200}.{self._last % 200 + 1}"
        process = self._rig.sdk("images", None, "--listen", f"{host}:{self._port}")
        port_of(process)
        self.processes[host] = process
        return host

    def lists(self, *hosts: str) -> None:
        self._names.set({NAME: list(hosts)} if hosts else {})

    def states(self) -> dict[str, str]:
        (backend,) = self.hub.get("/api/backends").json
        return {one["endpoint"].rpartition(":")[0]: one["state"] for one in backend["instances"]}

    def settled(self, within_s: float = 60.0) -> float:
        """Wait until exactly the processes that run can be asked; returns how long that took."""
        began_s = time.monotonic()
        wanted = dict.fromkeys(self.processes, "ready")
        while self.states() != wanted:
            assert time.monotonic() - began_s < within_s, (self.states(), wanted)
            time.sleep(0.05)  # It is asked, because not all of this is in its log.
        return time.monotonic() - began_s

    def note(self, kind: str, seconds: float, limit_s: float) -> None:
        self.found.setdefault(kind, []).append(seconds)
        self.limits[kind] = limit_s

    def faults(self) -> list[tuple[str, Callable[[], None], float]]:
        """Each fault, and for how long there may be no 200 after it."""
        return [
            ("all addresses moved", self._moves, MOVED_WITHIN_S),
            ("an address is added", self._adds, 1.0),
            ("an address is removed", self._removes, 1.0),
            ("an address is killed", self._kills, 1.0),
            ("an address hangs", self._hangs, NOTICED_WITHIN_S),
            ("all addresses hang", self._all_hang, NOTICED_WITHIN_S + 4.0),
            ("the name is gone", self._forgets, 1.0),
        ]

    def _moves(self) -> None:
        gone = dict(self.processes)
        self.processes.clear()
        fresh = [self.start() for _ in gone]
        self.lists(*fresh)
        for process in gone.values():
            process.kill()
        self.settled()

    def _adds(self) -> None:
        self.start()
        self.lists(*self.processes)
        self.note("… and is used after", self.settled(), self.every_s)

    def _removes(self) -> None:
        host, process = self.processes.popitem()
        self.lists(*self.processes)
        self.settled()
        process.stop()
        assert host not in self.states()

    def _kills(self) -> None:
        _, process = self.processes.popitem()
        process.kill()
        self.start()
        self.lists(*self.processes)
        self.settled()

    def _hangs(self) -> None:
        host, process = next(iter(self.processes.items()))
        self._frozen([process], lambda: self.states()[host] == "unresponsive")

    def _all_hang(self) -> None:
        self._frozen(list(self.processes.values()), lambda: set(self.states().values()) == {"unresponsive"})

    def _frozen(self, processes: list[Process], noticed: Callable[[], bool]) -> None:
        began_s = time.monotonic()
        for process in processes:
            process.signal(signal.SIGSTOP)
        while not noticed():
            assert time.monotonic() - began_s < 3 * NOTICED_WITHIN_S, self.states()
            time.sleep(0.05)  # As above.
        self.note("… and is noticed after", time.monotonic() - began_s, NOTICED_WITHIN_S)
        for process in processes:
            process.signal(signal.SIGCONT)
        self.note("… and is back after", self.settled(), 4.0)

    def _forgets(self) -> None:
        self.lists()
        time.sleep(2 * min(self.every_s, 5.0))  # The fault lasts for some lookups; nothing is waited for.
        self.lists(*self.processes)
        self.settled()


def test_a_campaign_of_faults_brings_no_wrong_200_and_every_outage_is_as_short_as_documented(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = Campaign(rig)
    faults = campaign.faults()
    until_s, rounds = time.monotonic() + DURATION_S, 0
    slowest: dict[str, float] = {}
    callers = Callers(campaign.hub)
    try:
        while time.monotonic() < until_s or rounds < len(faults):
            kind, fault, limit_s = faults[rounds % len(faults)]
            began_s = time.monotonic()
            fault()
            ended_s = time.monotonic()
            campaign.note(kind, callers.gap_s(began_s, ended_s), limit_s)
            slowest[kind] = max(slowest.get(kind, 0.0), callers.slowest_s(began_s, ended_s))
            rounds += 1
    finally:
        callers.stop()
    statuses: dict[int, int] = {}
    for call in callers.calls:
        statuses[call.reply.status] = statuses.get(call.reply.status, 0) + 1
    wrong = [call.reply for call in callers.calls if call.reply.status == 200 and not good(call.reply)]
    with capsys.disabled():
        sys.stdout.write(f"\n{rounds} faults, {len(callers.calls)} requests {statuses}, {len(wrong)} wrong 200s\n")
        for kind, seconds in campaign.found.items():
            slow = f", slowest request {slowest[kind]:.1f} s" if kind in slowest else ""
            what = "no 200 for" if kind in slowest else "at most"
            sys.stdout.write(
                f"  {kind:<24} {what} {max(seconds):5.1f} s (documented {campaign.limits[kind]:g} s){slow}\n"
            )
    assert wrong == []
    assert callers.trouble == []
    assert set(statuses) <= {200, 503}
    late = {kind: found for kind, found in campaign.found.items() if max(found) > campaign.limits[kind] + SLACK_S}
    assert late == {}
    assert campaign.hub.events("internal_fault") + campaign.hub.events("task_failed") == []
    assert campaign.hub.stop() == 0

"""Hub and backends are killed without a word, again and again, under load: ``make campaign-kills`` prints figures."""

from __future__ import annotations

import http.client
import os
import random
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.e2e.support import calls
from tests.e2e.support.processes import seconds_here

if TYPE_CHECKING:
    import pytest

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

KILLS = int(os.environ.get("APPSET_HUB_KILLS", "6"))
EXPECTED = [{"from": "images"}, {"from": "owners"}]
PAUSE_S = 0.5
BACK_S = 8.0
"""Until there are good answers again, on a machine that has the time: the hub starts, and its backends attach."""


class Asker:
    """Asks all the time; while there is no hub, a connection is refused, and that is no answer."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._stopped = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.unanswered = 0
        self.wrong: list[str] = []
        self.good_s = time.monotonic()
        """When the last good answer came."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            connection = calls.Connection(self._port)
            try:
                while not self._stopped.is_set():
                    self._note(connection.ask(self._name, token="argocd-token"))
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                time.sleep(0.01)
            finally:
                connection.close()

    def _note(self, reply: calls.Reply) -> None:
        self.statuses[reply.status] += 1
        if reply.status == 200:
            if reply.sets == EXPECTED:
                self.good_s = time.monotonic()
            else:
                self.wrong.append(str(reply))
        else:
            time.sleep(0.01)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a request has no answer"


class Processes:
    """What is killed, and started again."""

    def __init__(self, rig: Rig, stack: ExitStack) -> None:
        self._rig = rig
        rig.configure(
            backends=[rig.backend(name, application_sets=["fb-*"]) for name in ("images", "owners")],
            routes=[{"name": "previews", "application_sets": ["fb-*"], "backends": ["images", "owners"]}],
            startup_wait="10s",
        )
        self.hub: Hub = rig.hub()
        self._backends = {name: self._start(name) for name in ("images", "owners")}
        self.hub.joined("images", "owners")
        self.askers = [Asker(self.hub.http, f"fb-{number}") for number in range(3)]
        for asker in self.askers:
            stack.callback(asker.stop)

    def _start(self, name: str) -> Process:
        return self._rig.sdk(name, self.hub, "--application-sets", "fb-*")

    def kill(self, what: str) -> None:
        """Kill one, and start it again at once, as a platform does."""
        if what == "hub":
            self.hub.kill()
            self.hub = self._rig.hub_again(self.hub)
        else:
            self._backends[what].kill()
            self._backends[what] = self._start(what)

    def back_after_s(self, began_s: float) -> float:
        """Wait for good answers to questions that were asked since; returns how long it took from ``began_s`` on."""
        until_s, since_s = time.monotonic() + 60, time.monotonic()
        while any(asker.good_s < since_s for asker in self.askers):
            assert time.monotonic() < until_s, [asker.statuses for asker in self.askers]
            time.sleep(0.005)
        return max(asker.good_s for asker in self.askers) - began_s


def test_hub_and_backends_that_are_killed_bring_no_wrong_200_and_are_back(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, taken_s = random.Random(1), dict[str, list[float]]()
    with ExitStack() as stack:
        processes = Processes(rig, stack)
        processes.back_after_s(time.monotonic())
        kills = 0
        while kills < KILLS:
            # Each of them in a short run, too.
            what = ("hub", "images", "owners")[kills] if kills < 3 else chance.choice(("hub", "images", "owners"))
            began_s = time.monotonic()
            processes.kill(what)
            taken_s.setdefault(what, []).append(processes.back_after_s(began_s))
            kills += 1
            time.sleep(chance.random() * PAUSE_S)
    statuses = sum((asker.statuses for asker in processes.askers), Counter[int]())
    wrong = [one for asker in processes.askers for one in asker.wrong]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kills} kills, {sum(statuses.values())} answers {dict(statuses)}, {len(wrong)} wrong 200s\n"
        )
        for what, taken in sorted(taken_s.items()):
            middle, last = sorted(taken)[len(taken) // 2], sorted(taken)[len(taken) * 99 // 100]
            sys.stdout.write(f"{what}: good answers after {middle:.2f} s (median of {len(taken)}), p99 {last:.2f} s\n")
    assert wrong == []
    assert set(statuses) <= {200, 503}
    assert max(map(max, taken_s.values())) < seconds_here(BACK_S)
    assert processes.hub.events("internal_fault") == []

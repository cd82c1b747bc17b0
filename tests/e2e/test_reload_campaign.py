"""A campaign of faults around the configuration, under load: ``make campaign`` prints its figures."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.support.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.e2e.support.rig import Hub, Rig

DURATION_S = float(os.environ.get("APPSET_HUB_CAMPAIGN_S", "10"))
EXPECTED = [{"from": "images"}]


class Campaign:
    """One hub, and everything that is done to its files and limits."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.tokens = ["argocd-token"]
        self._configure()
        self.hub: Hub = rig.hub()
        rig.sdk("images", self.hub, "--application-sets", "fb-*")
        self.hub.joined("images")
        self.wrong: list[str] = []
        self.rotations: list[float] = []
        self.faults: list[tuple[str, Callable[[], None]]] = [
            ("a bad value", lambda: rig.write("deadline: !!int zz\n")),
            ("brackets", lambda: rig.write("[" * 20_000)),
            ("a large file", lambda: rig.write("a: [" + "1," * 50_000 + "]\n")),
            ("a NUL in a path", lambda: rig.write('clients: [{name: a, tokens: [{file: "a\\0b"}]}]\n')),
            ("no file", lambda: rig.config.unlink(missing_ok=True)),
            ("no folder", self._without_folder),
            ("no descriptors", self._without_descriptors),
            ("SIGHUPs", self._with_signals),
        ]

    def _configure(self, **more: Any) -> None:
        self._rig.token("rotated", self.tokens[-1])
        backends = [self._rig.backend("images", application_sets=["fb-*"])]
        self._rig.configure(backends=backends, clients=[self._client()], **more)

    def _client(self) -> dict[str, Any]:
        return {"name": "argocd", "tokens": [{"file": "tokens/rotated"}]}

    def _with_signals(self) -> None:
        for _ in range(50):
            self.hub.signal(signal.SIGHUP)

    def _without_folder(self) -> None:
        away = self._rig.folder.with_name("away")
        self._rig.folder.rename(away)
        time.sleep(random.uniform(0, 1.5))  # The fault lasts for a while; nothing is waited for.
        away.rename(self._rig.folder)

    def _without_descriptors(self) -> None:
        used = len(list(Path(f"/proc/{self.hub.pid}/fd").iterdir()))
        resource.prlimit(self.hub.pid, resource.RLIMIT_NOFILE, (used, 4096))
        self._rig.write("deadline: 7s\n")
        time.sleep(random.uniform(0, 1.5))  # As above.
        resource.prlimit(self.hub.pid, resource.RLIMIT_NOFILE, (4096, 4096))

    def rotates(self, round_: int) -> None:
        """Revoke the token in use: once the hub says that it reloaded, a 200 for it is wrong."""
        revoked = self.tokens[-1]
        self.tokens.append(f"token-of-round-{round_}")
        began_s = time.monotonic()
        self._configure()
        while self.hub.ask("fb-1", token=self.tokens[-1]).status != 200:
            assert time.monotonic() - began_s < 45, [
                line for line in self.hub.lines if "configuration" in line or "fault" in line
            ]
        self.rotations.append(time.monotonic() - began_s)
        if self.hub.ask("fb-1", token=revoked).status == 200:
            self.wrong.append(f"round {round_}: a revoked token is good")


def test_a_campaign_of_faults_brings_no_wrong_200_and_every_rotation_takes_effect(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = Campaign(rig)
    until_s, rounds, counted = time.monotonic() + DURATION_S, 0, 0
    statuses: dict[int, int] = {}
    with Load(campaign.hub, "fb-1", token=lambda: campaign.tokens[-1]) as load:
        while time.monotonic() < until_s or rounds < len(campaign.faults):
            _, fault = campaign.faults[rounds % len(campaign.faults)]
            fault()
            load.flows()
            campaign.rotates(rounds)
            load.flows()
            rounds += 1
    for reply in load.replies:
        counted += 1
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        if reply.status == 200 and reply.sets != EXPECTED:
            campaign.wrong.append(str(reply))
    # A request with the next token before the hub has read it is refused, and that is right. So is one while the folder
    # is away, for the store is in it.
    assert set(statuses) <= {200, 403, 503}
    assert {reply.json["error"] for reply in load.replies if reply.status == 503} <= {"store_lost"}
    assert load.troubles == []
    # Without descriptors there is no inotify either; the files are looked at all the same.
    assert {event["task"] for event in campaign.hub.events("task_failed")} <= {"file_watch"}
    assert campaign.hub.events("internal_fault") == []
    assert campaign.hub.stop() == 0
    with capsys.disabled():
        slowest_s = max(campaign.rotations)
        sys.stdout.write(
            f"\n{rounds} faults, {counted} requests {statuses}, slowest rotation {slowest_s:.1f} s, "
            f"{len(campaign.wrong)} wrong 200s\n"
        )
    assert campaign.wrong == []

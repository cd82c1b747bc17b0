"""Tokens and certificates are rotated under load: ``make campaign-rotations`` prints its figures."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.e2e.support.authority import Authority
from tests.e2e.support.load import Load
from tests.e2e.support.processes import seconds_here

if TYPE_CHECKING:
    import pytest

    from tests.e2e.support.rig import Hub, Rig

ROTATIONS = int(os.environ.get("APPSET_HUB_ROTATIONS", "10"))
CERTIFICATES_EVERY = 5
REVOKED_S = 1.0
EXPECTED = [{"from": "images"}]


def revoked_after_s(hub: Hub, token: str) -> float:
    """Ask with a token until it is refused; returns how long that took."""
    began_s = time.monotonic()
    while (reply := hub.ask("fb-1", token=token)).status == 200:
        assert time.monotonic() < began_s + 30, "it is never refused"
    reply.refuses(403, "token_wrong")
    return time.monotonic() - began_s


def test_rotations_under_load_cost_no_request_and_a_revoked_token_is_refused_at_once(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(rig.folder)
    files = [rig.token(name, f"{name}-0-of-a-client") for name in ("first", "second")]
    rig.configure(
        clients=[{"name": "argocd", "tokens": files}],
        backends=[rig.backend("images", application_sets=["fb-*"])],
        tls={"http": authority.issue("http", "localhost")},
    )
    hub = rig.hub()
    hub.tls = authority.context
    tokens = {"first": "first-0-of-a-client", "second": "second-0-of-a-client"}
    current = "first"
    rig.sdk("images", hub, "--application-sets", "fb-*")
    hub.joined("images")
    taken_s: list[float] = []
    with Load(hub, "fb-1", callers=4, token=lambda: tokens[current]) as load:
        for number in range(1, ROTATIONS + 1):
            # Callers use the other one.
            other, mark = ("second" if current == "first" else "first"), hub.mark()
            old, new = tokens[other], f"{other}-{number}-of-a-client"
            rig.token(other, new)
            taken_s.append(revoked_after_s(hub, old))
            hub.event("configuration_reloaded", after=mark)
            assert hub.ask("fb-1", token=new).sets == EXPECTED
            tokens[other] = new
            current = other
            if number % CERTIFICATES_EVERY == 0:
                mark = hub.mark()
                authority.issue("http", "localhost")
                hub.event("certificate_in_force", after=mark, setting="tls.http.certificate")
            load.flows()
    statuses = Counter(reply.status for reply in load.replies)
    wrong = [reply for reply in load.replies if reply.status == 200 and reply.sets != EXPECTED]
    with capsys.disabled():
        middle, last, certificates = sorted(taken_s)[len(taken_s) // 2], max(taken_s), ROTATIONS // CERTIFICATES_EVERY
        sys.stdout.write(
            f"\n{ROTATIONS} tokens, {certificates} certificates, {len(load.replies)} requests {dict(statuses)}, "
            f"{len(load.troubles)} without an answer\n"
            f"a revoked token is refused after {middle:.2f} s (median), {last:.2f} s at the most\n"
        )
    assert load.troubles == []
    assert wrong == []
    assert set(statuses) == {200}
    assert max(taken_s) < seconds_here(REVOKED_S)

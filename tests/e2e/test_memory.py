"""A hub in a container with the memory that deploy/ gives it: it refuses before the kernel ends it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.support.cgroup import MemoryGroup, memory_group
from tests.e2e.support.processes import until
from tests.e2e.support.rig import BACKENDS, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.rig import Hub, Rig

MIB = 1024 * 1024
AT_ONCE = 24
ANSWER_BYTES = 7 * MIB
STATEFUL_SET = Path(__file__).parents[2] / "deploy" / "kustomize" / "base" / "stateful-set.yaml"


def shipped_bytes() -> int:
    """The memory limit of the hub's container in deploy/."""
    [hub] = yaml.safe_load(STATEFUL_SET.read_text())["spec"]["template"]["spec"]["containers"]
    text: str = hub["resources"]["limits"]["memory"]
    assert text.endswith("Mi"), text
    return int(text.removesuffix("Mi")) * MIB


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    with memory_group(shipped_bytes()) as made:
        yield made


def large(group: MemoryGroup, rig: Rig, how: str, **settings: Any) -> Hub:
    """A hub within the group, and outside of it a backend with large answers."""
    routes = [{"name": "all", "application_sets": ["*"], "backends": ["large"]}]
    script, within = BACKENDS / "large_backend.py", [group.runner(rig.folder)]
    if how == "dialled":
        backend = rig.python(script, "--name", "large", "--listen", "127.0.0.1:0")
        backends = [{"name": "large", "address": f"127.0.0.1:{port_of(backend)}"}]
        rig.configure(backends=backends, routes=routes, deadline="25s", **settings)
        hub = rig.hub(within=within)
    else:
        rig.configure(backends=[rig.backend("large")], routes=routes, deadline="25s", **settings)
        hub = rig.hub(within=within)
        token = ("--token-file", rig.folder / "tokens" / "large")
        rig.python(script, "--name", "large", "--hub", hub.grpc_address, *token)
    hub.joined("large")
    return hub


@pytest.mark.parametrize("how", ["attached", "dialled"])
def test_many_large_answers_at_once_end_no_hub(group: MemoryGroup, rig: Rig, how: str) -> None:
    hub = large(group, rig, how)
    assert hub.metric("appset_hub_memory_budget_bytes") == shipped_bytes()

    def status(number: int) -> int:
        reply = hub.ask(f"fb-{number}", {"bytes": ANSWER_BYTES, "n": number})
        assert reply.status in (200, 503, 504), reply.message
        return reply.status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = list(pool.map(status, range(AT_ONCE)))
        # Now it knows that they are large: most of them wait for each other, and none is refused for its size.
        again = list(pool.map(status, range(AT_ONCE)))
    assert group.kills == 0
    assert 200 in first
    assert again.count(200) > first.count(200) or again.count(200) == AT_ONCE
    assert hub.ask("fb-last", {"bytes": ANSWER_BYTES}).status == 200
    print(f"{how}: peak {group.peak_bytes // MIB} MiB, {first.count(200)} and {again.count(200)} of {AT_ONCE} answered")  # noqa: T201


def test_callers_that_do_not_read_large_answers_end_no_hub(group: MemoryGroup, rig: Rig) -> None:
    hub = large(group, rig, "attached")
    body = f'{{"applicationSetName":"fb-0","input":{{"parameters":{{"bytes":{ANSWER_BYTES}}}}}}}'.encode()
    lines = ("POST /api/v1/getparams.execute HTTP/1.1", "Host: hub", "Authorization: Bearer argocd-token")
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
    idle = [socket.create_connection(("127.0.0.1", hub.http)) for _ in range(80)]
    try:
        for one in idle:
            one.sendall(head.encode() + body)
        reply = hub.ask("fb-1", {"bytes": ANSWER_BYTES})
        until(lambda: (hub.metric("appset_hub_requests_in_flight") or 0) == 0, "all are answered")
        assert group.kills == 0
        assert reply.status in (200, 503)
    finally:
        for one in idle:
            one.close()


def test_an_answer_larger_than_the_memory_allows_is_refused_with_the_limit(group: MemoryGroup, rig: Rig) -> None:
    hub = large(group, rig, "attached")
    reply = hub.ask("fb-1", {"bytes": 10 * MIB})
    reply.refuses(502, "limit_exceeded", str(shipped_bytes() // 64), "limits.max_answer_bytes")
    assert group.kills == 0

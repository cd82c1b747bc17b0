"""A hub whose disk fails: it refuses what it cannot remember, and works again by itself."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.disks import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig
    from tests.support.disks import SmallDisk

TEN = [{"name": f"app-{number}"} for number in range(10)]
FAILING = "appset_hub_store_failing"


def hub_on(rig: Rig, store: str) -> Hub:
    route = {"name": "apps", "application_sets": ["apps-*"], "backends": ["apps"], "unique_by": ["name"]}
    rig.configure(store=f"sqlite:{store}", backends=[rig.backend("apps")], routes=[route])
    return rig.hub()


def apps(rig: Rig, hub: Hub, *sets: dict[str, str]) -> Process:
    """A backend that answers with these sets."""
    file = {"application_sets": ["apps-*"], "answers": [{"parameters": list(sets)}]}
    running = rig.static("apps", file, "--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / "apps")
    running.says("attached to hub")
    return running


@contextmanager
def unwritable(hub: Hub) -> Iterator[None]:
    """Each write of the hub to a file fails inside the block."""
    before = resource.prlimit(hub.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def full(disk: SmallDisk) -> Iterator[None]:
    """There is no space inside the block."""
    disk.fill()
    try:
        yield
    finally:
        disk.free()


def check(rig: Rig, hub: Hub, broken: AbstractContextManager[None], why: str) -> None:
    """What is refused while the disk is broken, what is not, and that all of it ends without a request."""
    whole = apps(rig, hub, *TEN)
    assert hub.ask("apps-1").sets == TEN
    assert hub.metric(FAILING) == 0
    with broken:
        hub.ask("apps-2").refuses(503, "store_failed", why)
        hub.event("store_trouble")
        assert hub.metric(FAILING) == 1
        # It equals the last accepted one, so nothing has to be written.
        assert hub.ask("apps-1").sets == TEN
        whole.stop()
        apps(rig, hub, *TEN[:2])
        hub.ask("apps-1").refuses(503, "store_failed", why)
        assert hub.events("store_recovered") == []
    hub.event("store_recovered")
    assert hub.metric(FAILING) == 0
    hub.ask("apps-1").refuses(409, "answer_held")
    assert hub.ask("apps-2").sets == TEN[:2]
    assert hub.stop() == 0, hub.output
    assert "Traceback" not in hub.output


def test_a_hub_that_cannot_write_lets_no_change_pass_and_recovers_without_a_restart(rig: Rig) -> None:
    hub = hub_on(rig, "hub.db")
    check(rig, hub, unwritable(hub), "the hub's store cannot be read or written")


def test_a_hub_on_a_full_disk_lets_no_change_pass_and_recovers_once_there_is_space(rig: Rig) -> None:
    with small_disk(rig.folder / "disk") as disk:
        hub = hub_on(rig, "disk/hub.db")
        check(rig, hub, full(disk), "the disk of the hub's store is full")

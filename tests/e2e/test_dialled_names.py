"""Dialled backends that freeze or move, with real processes and the resolver of the system."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.hosts import PrivateHosts
from tests.e2e.support.load import Load
from tests.e2e.support.rig import Rig, free_port, port_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub

NAME = "images.test"
EXPECTED = [{"from": "images"}]
QUICK = {"check_after": "500ms", "give_up_after": "2s"}


class Site:
    """A backend with one process at each of several addresses, and a hub that knows only its name."""

    def __init__(self, rig: Rig, *hosts: str, **dial: Any) -> None:
        self._rig = rig
        self._names = PrivateHosts(rig.folder)
        self.port = free_port()
        self.processes: dict[str, Process] = {}
        for host in hosts:
            self.start(host)
        self.lists(*hosts)
        rig.configure(
            dial=dial,
            backends=[{"name": "images", "address": f"{NAME}:{self.port}", "application_sets": ["fb-*"]}],
        )
        self.hub: Hub = rig.hub(within=self._names.within)
        for host in hosts:
            self.joined(host)

    def start(self, host: str) -> None:
        """Start a process at one more address."""
        process = self._rig.sdk("images", None, "--listen", f"{host}:{self.port}")
        port_of(process)
        self.processes[host] = process

    def lists(self, *hosts: str) -> None:
        """Let the name resolve to these."""
        self._names.set({NAME: list(hosts)} if hosts else {})

    def instance(self, host: str) -> str:
        return f"{NAME}:{self.port} ({host}:{self.port})"

    def joined(self, host: str, *, after: int = 0) -> None:
        self.hub.event("instance_joined", after=after, instance=self.instance(host))

    def states(self) -> dict[str, str]:
        (backend,) = self.hub.get("/api/backends").json
        return {one["instance"]: one["state"] for one in backend["instances"]}


def test_a_process_that_moves_is_used_within_two_seconds_at_its_new_address(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2")
    assert site.hub.ask("fb-1").sets == EXPECTED
    site.start("127.0.0.3")
    site.lists("127.0.0.3")
    site.processes["127.0.0.2"].kill()
    began_s = time.monotonic()
    assert site.hub.ask("fb-1").sets == EXPECTED, "it waits for the new address"
    assert time.monotonic() - began_s < 2.5
    assert site.states() == {site.instance("127.0.0.3"): "ready"}


def test_an_address_that_is_added_is_used_and_one_that_is_removed_is_not(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2", resolve_every="1s")
    with Load(site.hub, "fb-1") as load:
        site.start("127.0.0.3")
        site.lists("127.0.0.2", "127.0.0.3")
        site.joined("127.0.0.3")
        load.flows()
        site.lists("127.0.0.3")
        site.hub.event("instance_left", instance=site.instance("127.0.0.2"))
        load.flows()
    assert {reply.status for reply in load.replies} == {200}
    assert load.troubles == []


def test_a_name_that_is_gone_keeps_its_addresses_and_the_commands_show_it(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2", resolve_every="1s")
    site.lists()
    failed = site.hub.event("name_unresolved")
    assert (failed["name"], failed["kept"]) == (f"{NAME}:{site.port}", 1)
    assert site.hub.ask("fb-1").sets == EXPECTED
    shown = rig.command("backends", "list", "--admin", f"http://127.0.0.1:{site.hub.admin}")
    assert f'warning: backend "images": cannot look up "{NAME}:{site.port}"' in shown.err
    assert (site.hub.metric("appset_hub_name_lookup_failures_total", backend="images") or 0) >= 1
    site.lists("127.0.0.2")
    site.hub.event("name_resolved")


def test_a_frozen_process_is_noticed_within_ten_seconds_and_its_questions_move(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2", "127.0.0.3")
    with Load(site.hub, "fb-1") as load:
        load.flows()
        site.processes["127.0.0.2"].signal(signal.SIGSTOP)
        began_s = time.monotonic()
        noticed = site.hub.event("instance_unresponsive")
        assert time.monotonic() - began_s < 12
        assert noticed["instance"] == site.instance("127.0.0.2")
        load.flows()
        assert site.states() == {site.instance("127.0.0.2"): "unresponsive", site.instance("127.0.0.3"): "ready"}
        mark = site.hub.mark()
        site.processes["127.0.0.2"].signal(signal.SIGCONT)
        site.joined("127.0.0.2", after=mark)
        load.flows()
    assert {reply.status for reply in load.replies} == {200}, "what hung was moved"
    assert all(reply.sets == EXPECTED for reply in load.replies)


def test_a_frozen_only_process_is_refused_at_once_and_visible(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2", **QUICK)
    site.processes["127.0.0.2"].signal(signal.SIGSTOP)
    site.hub.ask("fb-1").refuses(503, "backend_unresponsive", '"images"', "neither questions nor health checks")
    shown = rig.command("backends", "list", "--admin", f"http://127.0.0.1:{site.hub.admin}")
    assert "unresponsive" in shown.out
    assert "answers neither questions nor health checks" in shown.err
    assert site.hub.metric("appset_hub_backend_instances", backend="images", state="unresponsive") == 1
    mark = site.hub.mark()
    site.processes["127.0.0.2"].signal(signal.SIGCONT)
    site.joined("127.0.0.2", after=mark)
    assert site.hub.ask("fb-1").sets == EXPECTED


def test_a_name_that_a_backend_registers_is_followed_as_well(rig: Rig) -> None:
    names, port = PrivateHosts(rig.folder), free_port()
    names.set({NAME: ["127.0.0.2"]})
    rig.configure(
        dial={"resolve_every": "1s"},
        backends=[rig.backend("images", application_sets=["fb-*"], addresses=[f"{NAME}:*"])],
    )
    hub = rig.hub(within=names.within)
    first = rig.sdk("images", hub, "--listen", f"127.0.0.2:{port}", "--address", f"{NAME}:{port}",
                    "--application-sets", "fb-*")  # fmt: skip
    assert hub.event("instance_joined", kind="registered")["instance"].endswith(f" (127.0.0.2:{port})")
    assert hub.ask("fb-1").sets == EXPECTED
    # The same lease: the process that renews it is not the one that answers from now on.
    rig.sdk("images", None, "--listen", f"127.0.0.3:{port}")
    names.set({NAME: ["127.0.0.2", "127.0.0.3"]})
    joined = hub.event("instance_joined", after=hub.mark(), kind="registered")
    assert joined["instance"].endswith(f" (127.0.0.3:{port})")
    assert first.stop() == 0
    assert {left["cause"] for left in hub.events("instance_left")} <= {"deregistered", "the connection broke"}


@pytest.fixture
def nginx() -> str:
    found = shutil.which("nginx")
    if found is None:
        pytest.skip("nginx is not here")
    return found


def proxied(folder: Path, listen: int, behind: int) -> Path:
    """The configuration of an nginx before one backend, in one process, so that it ends with the test."""
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr notice; events {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{listen} http2; location / {{\n"
        f"  grpc_pass grpc://127.0.0.1:{behind}; grpc_read_timeout 60s;\n"
        "} } }\n"
    )
    return file


def test_behind_a_proxy_that_answers_itself_a_frozen_process_is_given_up_as_well(rig: Rig, nginx: str) -> None:
    backend = rig.sdk("images", None, "--listen", "127.0.0.1:0")
    port = free_port()
    proxy = rig.start(nginx, "-e", "stderr", "-c", proxied(rig.folder, port, port_of(backend)), "-p", rig.folder)
    proxy.says("getrlimit")
    address = f"127.0.0.1:{port}"
    rig.configure(dial=QUICK, backends=[{"name": "images", "address": address, "application_sets": ["fb-*"]}])
    hub = rig.hub()
    assert hub.ask("fb-1").sets == EXPECTED
    backend.signal(signal.SIGSTOP)
    hub.ask("fb-1").refuses(503, "backend_unresponsive")
    mark = hub.mark()
    backend.signal(signal.SIGCONT)
    hub.event("instance_joined", after=mark, instance=address)
    assert hub.ask("fb-1").sets == EXPECTED


def test_one_slow_question_takes_nothing_from_the_only_process(rig: Rig) -> None:
    site = Site(rig, "127.0.0.2", **QUICK)
    assert site.hub.ask("fb-1", {"wait_s": 4}).sets == EXPECTED
    assert site.hub.events("instance_unresponsive") == []

"""Two hubs are restarted in turn under load: ``make campaign-rolling`` prints what failed, beside two plain servers.

Callers pool their connections and never repeat a request. They learn which of the two is ready as the clients of a
Kubernetes Service do: for new connections, and a moment late.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.e2e.support import calls
from tests.e2e.support.processes import Process, until
from tests.e2e.support.rig import Rig, free_port

if TYPE_CHECKING:
    import pytest

    from tests.e2e.support.rig import Hub

RESTARTS = int(os.environ.get("APPSET_HUB_RESTARTS", "2"))
CALLERS = 4
LOOK_EVERY_S = 0.1
EXPECTED = [{"from": "images"}]
PLAIN = Path(__file__).parent / "support" / "plain_server.py"


class Replica(Protocol):
    """One of two servers behind a Service."""

    port: int

    def is_ready(self) -> bool:
        """Whether it gets new connections."""
        ...

    def restart(self) -> None:
        """End it as a platform does, and start the next one."""
        ...


class HubReplica:
    """A hub with its backend."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        rig.configure(backends=[rig.backend("images", application_sets=["fb-*"])], drain={"delay": "1s"})
        self.hub: Hub = rig.hub()
        self.port = self.hub.http
        rig.sdk("images", self.hub, "--application-sets", "fb-*")
        self.hub.joined("images")

    def is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.hub.get("/readyz").status == 200
        return False

    def restart(self) -> None:
        self.hub.signal(signal.SIGTERM)
        assert self.hub.wait() == 0
        self.hub = self._rig.hub_again(self.hub)


class PlainReplica:
    """A server without any of it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.port = free_port()
        self._process = self._start()

    def _start(self) -> Process:
        process = self._stack.enter_context(Process(sys.executable, PLAIN, self.port))
        until(self.is_ready, "it answers")
        return process

    def is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return calls.once(self.port, "/").status == 200
        return False

    def restart(self) -> None:
        self._process.signal(signal.SIGTERM)
        self._process.wait()
        self._process = self._start()


class Service:
    """Knows which replicas are ready, a moment late."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas
        self._stopped = threading.Event()
        self.ready = [replica.port for replica in replicas]
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            self.ready = [replica.port for replica in self._replicas if replica.is_ready()] or self.ready

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(30)


class Client:
    """Keeps a connection to each replica that it has asked, and repeats nothing."""

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        self._chance = random.Random(number)
        self._name = f"fb-{number}"
        self._pool: dict[int, calls.Connection] = {}
        self._stopped = threading.Event()
        self.good = 0
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            pooled = self._pool and self._chance.random() < 0.9
            port = self._chance.choice(list(self._pool) if pooled else self._service.ready)
            connection = self._pool.pop(port, None) or calls.Connection(port)
            try:
                reply = connection.ask(self._name, token="argocd-token")
                assert reply.sets == EXPECTED, reply
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(repr(error))
                connection.close()
                continue
            self.good += 1
            if reply.headers.get("connection", "").lower() == "close":
                connection.close()
            else:
                self._pool[port] = connection
        for connection in self._pool.values():
            connection.close()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a request has no answer"


def roll(replicas: list[Replica], restarts: int, stack: ExitStack) -> tuple[int, list[str]]:
    """Restart one after the other under load; returns how many requests were good, and what failed."""
    service = Service(replicas)
    stack.callback(service.stop)
    clients = [Client(service, number) for number in range(CALLERS)]
    for number in range(restarts):
        replica = replicas[number % len(replicas)]
        replica.restart()
        until(lambda port=replica.port: port in service.ready, "it is ready again")  # type: ignore[misc]  # its default.
        time.sleep(2 * LOOK_EVERY_S)
    for client in clients:
        client.stop()
    return sum(client.good for client in clients), [one for client in clients for one in client.failed]


def test_restarting_two_hubs_in_turn_costs_no_request(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        other = Rig(tmp_path_factory.mktemp("other"))
        stack.callback(other.close)
        hubs = roll([HubReplica(rig), HubReplica(other)], RESTARTS, stack)
    with ExitStack() as stack:
        plain = roll([PlainReplica(stack), PlainReplica(stack)], RESTARTS, stack)
    with capsys.disabled():
        for name, (good, failed) in {"hubs": hubs, "plain aiohttp": plain}.items():
            sys.stdout.write(f"\n{RESTARTS} restarts of two {name}: {good} requests answered, {len(failed)} failed")
        sys.stdout.write("\n")
    assert hubs[1] == []

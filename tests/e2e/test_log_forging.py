"""A peer that has no credentials cannot write lines into the hub's log."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.rig import Rig

FORGED = '{"timestamp":"2026-01-01T00:00:00.000Z","level":"error","event":"forged"}'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, GOAWAY = 4, 7
ENHANCE_YOUR_CALM = 11


def frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def farewell() -> bytes:
    """What ends an HTTP/2 connection, with a text for the other side's log."""
    text = f"too_many_pings\n{FORGED}\n\x1b[2J".encode()
    return frame(SETTINGS, b"") + frame(GOAWAY, bytes(4) + ENHANCE_YOUR_CALM.to_bytes(4, "big") + text)


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of something that says farewell to everyone who connects."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(farewell())
                connection.settimeout(0.5)
                try:
                    while connection.recv(4096):
                        pass
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


@pytest.mark.parametrize("verbosity", [None, "DEBUG"], ids=["as it is", "with gRPC's own log"])
def test_no_peer_can_forge_a_line_of_the_log(rig: Rig, stranger: int, verbosity: str | None) -> None:
    rig.configure(backends=[{"name": "images", "address": f"127.0.0.1:{stranger}"}])
    hub = rig.hub(env={} if verbosity is None else {"GRPC_VERBOSITY": verbosity})
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(hub.grpc_address.rpartition(":")[2]))) as caller:
            caller.sendall(PREFACE + farewell())
            caller.settimeout(0.5)
            try:
                while caller.recv(4096):
                    pass
            except OSError:
                continue
    assert hub.ask("x-1").status == 404
    if verbosity is not None:
        hub.event("library_message", library="standard error")
    assert hub.stop() == 0
    found = [json.loads(line) for line in hub.lines]
    assert [line for line in found if line["event"] == "forged"] == []
    assert all("\x1b" not in line for line in hub.lines)

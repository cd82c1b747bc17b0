"""How gRPC is told to read its sockets, in a process of its own: it looks once, when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
from hub.rpc.options import choose_engine
choose_engine()
import os, grpc
channel = grpc.insecure_channel("127.0.0.1:1")
channel.close()
print(os.environ["GRPC_EXPERIMENTS"])
"""


@pytest.mark.parametrize(
    ("chosen", "used"),
    [(None, "-event_engine_client,-event_engine_listener"), ("-event_engine_client", "-event_engine_client")],
    ids=["by the hub", "by who starts it"],
)
def test_grpc_knows_what_it_is_told_and_who_starts_a_hub_may_choose(chosen: str | None, used: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    if chosen is not None:
        environment["GRPC_EXPERIMENTS"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout.strip(), done.stderr) == (used, "")

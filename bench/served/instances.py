"""Many attached instances that do nothing, each on a connection of its own. It says when all are in."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import grpc
import uvloop
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

_AT_ONCE = 50
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


async def attach(hub: str, name: str, token: str, number: int) -> tuple[grpc.aio.Channel, Any]:
    """Open one stream, up to the hub's welcome."""
    channel = grpc.aio.insecure_channel(hub, options=_OWN_CONNECTION)
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    call: Any = stub.Attach(metadata=(("authorization", f"Bearer {token}"),))
    info = registry_pb2.BackendInfo(name=name, instance=f"instance-{number}")
    await call.write(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=info)))
    if not isinstance(await call.read(), registry_pb2.AttachResponse):
        raise SystemExit(f"instance {number} was turned away: {await call.details()}")
    return channel, call


async def run(options: argparse.Namespace) -> None:
    """Hold all streams until the process is ended."""
    token = options.token_file.read_text().strip()
    held: list[Any] = []
    for first in range(0, options.count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, options.count))
        held += await asyncio.gather(*(attach(options.hub, options.name, token, number) for number in numbers))
    print("attached", len(held), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Attach, and stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

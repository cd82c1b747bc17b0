"""Runs a backend over real gRPC inside a test.

    async def test_a_branch_has_its_image() -> None:
        async with harness(Backend(function=images, name="images")) as hub:
            assert await hub.ask("fb-matrix", {"branch": "main"}) == [{"digest": "sha256:…"}]

The backend takes the same way as in production: it attaches to a small hub on a free port of this machine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from appset_hub.fake_hub import FakeHub, Reply, Stream
from appset_hub.serving import running
from appset_hub.settings import MAX_ANSWER_BYTES, Backend, Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["FakeHub", "Reply", "Stream", "harness"]


@contextlib.asynccontextmanager
async def harness(backend: Backend, *, max_answer_bytes: int = MAX_ANSWER_BYTES) -> AsyncIterator[FakeHub]:
    """Run `backend` attached to a hub of its own inside the block."""
    hub = FakeHub(max_answer_bytes=max_answer_bytes)
    async with hub.serving(), running(backend, Connection(hub=hub.address)) as served:
        await served.attached()
        await hub.attached()
        yield hub

"""A whole hub in this process, on free ports, with the time of day in the test's hands."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from hub.config.load import Source, load
from hub.main.wiring import Hub
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

TOKEN = "argocd-token"
ADMIN_TOKEN = "admin-token"


class WallClock:
    """The time of day; moves only when told."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def time(self) -> float:
        return self.now_s

    @staticmethod
    def perf_counter() -> float:
        return time.perf_counter()


class Site:
    """A folder with a configuration, and the hub that runs with it; it can be ended and started again."""

    def __init__(self, folder: Path, clock: WallClock) -> None:
        self.folder = folder
        self.clock = clock
        self.hub: Hub
        self._stack = AsyncExitStack()
        self._settings: dict[str, Any] = {}

    def token(self, name: str) -> list[dict[str, str]]:
        """A token file whose text is ``NAME-token``, as the configuration names it."""
        (self.folder / name).write_text(f"{name}-token")
        return [{"file": name}]

    def configure(self, *, backends: Mapping[str, Mapping[str, Any]], **settings: Any) -> None:
        """Write the configuration: a store that lasts, a client ``argocd``, an admin token, and what is given."""
        self._settings = {
            "listen": dict.fromkeys(("http", "grpc", "admin"), "127.0.0.1:0"),
            "store": f"sqlite:{self.folder / 'hub.db'}",
            "clients": [{"name": "argocd", "tokens": self.token("argocd")}],
            "admin": {"tokens": self.token("admin")},
            "backends": [{"name": name, "tokens": self.token(name), **more} for name, more in backends.items()],
            "drain": {"delay": "0s", "timeout": "1s"},
            "wait_for_absent": "100ms",
            "log": {"level": "error"},
            **settings,
        }
        self._write()

    def _write(self) -> None:
        (self.folder / "hub.yaml").write_text(json.dumps(self._settings))  # JSON is YAML.

    def _load(self) -> Any:
        return load(Source(path=self.folder / "hub.yaml"), {})

    def reconfigure(self, **settings: Any) -> None:
        """Change the configuration of the hub that runs, as a reload does."""
        self._settings |= settings
        self._write()
        self.hub.swap(self.hub.built(self._load()))

    async def start(self) -> None:
        # The one seam for the time of day: the wiring's own clock.
        self._stack.enter_context(mock.patch("hub.main.wiring.time", self.clock))
        self.hub = await self._stack.enter_async_context(Hub(self._load()))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        """End the hub and start another one on the same store."""
        await self.stop()
        await self.start()

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.hub.rpc.port}"

    def caller(self, token: str = TOKEN) -> Caller:
        """A client on a connection of its own."""
        return Caller(self.hub.http_port, token)

    async def admin(self, method: str, path: str, body: Any = None, *, token: str = ADMIN_TOKEN) -> tuple[int, Any]:
        """One call of the admin port; its status and its document."""
        async with Caller(self.hub.admin_port, token) as caller:
            reply = await caller.send(caller.request(method, path, b"" if body is None else json.dumps(body).encode()))
        return reply.status, json.loads(reply.body)

    async def decide(self, action: str, held_id: str, *, by: str = "ann", unique_by: tuple[str, ...] = ()) -> int:
        """An operator's decision; the status."""
        body = {"by": by, **({"unique_by": unique_by} if unique_by else {})}
        status, _ = await self.admin("POST", f"/api/held/{held_id}/{action}", body)
        return status


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    """Run a hub inside the block."""
    await site.start()
    try:
        yield site
    finally:
        await site.stop()


async def until(condition: Any, what: str, *, within_s: float = 10.0) -> None:
    """Let the loop turn until something holds that has no event of its own."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"not in time: {what}"
        await asyncio.sleep(0.002)

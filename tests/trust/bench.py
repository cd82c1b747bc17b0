"""A hub with one route and one backend, and what ends with the test."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from tests.trust.hubs import Site, WallClock, until
from tests.trust.stub import Answer, Request, Stub, named

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from tests.trust.wire import Reply


class Bench:
    """A hub with one route ``r`` on ``r-*`` and one backend ``b``, unless told else, and what ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.clock = WallClock()
        self.site = Site(folder, self.clock)
        self.says: Answer | asyncio.Future[Answer] | None = named()
        self.backend: Stub
        self._stack = AsyncExitStack()

    async def open(
        self,
        *,
        route: dict[str, Any] | None = None,
        declares: tuple[str, ...] = (),
        claims: tuple[str, ...] = (),
        **settings: Any,
    ) -> Site:
        """Start both; the backend declares that these keys identify its sets, and claims these patterns."""
        routes = [{"name": "r", "application_sets": ["r-*"], "backends": ["b"], **(route or {})}]
        self.site.configure(**{"backends": {"b": {"application_sets": ["c-*"]}}, "routes": routes, **settings})
        await self.site.start()
        self._stack.push_async_callback(self.site.stop)
        self.backend = await self.attach(Stub("b", self.behave, unique_by=declares, claims=claims))
        return self.site

    def behave(self, _: Request) -> Answer | asyncio.Future[Answer] | None:
        return self.says

    async def attach(self, stub: Stub) -> Stub:
        """Attach one more instance."""
        self._stack.push_async_callback(stub.stop)
        return await stub.start(lambda: self.site.grpc_address)

    async def restart(self) -> None:
        """Another hub on the same store; the backends come back by themselves."""
        await self.site.restart()
        self.backend.attached.clear()
        await self.backend.attached.wait()

    async def ask(self, answer: Answer | None = None, name: str = "r-one", **parameters: Any) -> Reply:
        """One question on a connection of its own; ``answer`` is what the backend says from now on."""
        if answer is not None:
            self.says = answer
        async with self.site.caller() as caller:
            return await caller.ask(name, parameters)

    async def backend_asked(self, times: int) -> None:
        """Wait until the backend was asked so often."""
        await until(lambda: len(self.backend.asked) >= times, f"{times} asks")

    async def noticed_absence(self, backend: str) -> None:
        """Wait until the hub knows that a backend is away."""
        state = ""
        while state != "absent":
            backends = (await self.site.admin("GET", "/api/backends"))[1]
            state = next(one["state"] for one in backends if one["name"] == backend)

    async def close(self) -> None:
        await self._stack.aclose()

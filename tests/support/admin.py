"""The admin port of a hub without its other edges, on a real socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from hub.core.answer import Notice
from hub.core.events import AnswerNoticed
from hub.core.tokens import TokenRing
from hub.http.admin import Admin, Readiness
from hub.http.admin_site import AdminSite
from hub.http.getparams import RequestIds
from hub.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.service import Service

KEY = b"k" * 32
NO_TOKENS: TokenRing[str] = TokenRing((), KEY)
ADMIN = TokenRing([("admin-token", "admin")], KEY)


class Kept:
    """Notices, as telemetry keeps them."""

    notices = (
        AnswerNoticed(
            backend="images", route="r", application_set_name="fb-1", notice=Notice(kind="null_value", text="t")
        ),
    )


class Port:
    """The running admin port."""

    def __init__(
        self, service: Service, session: aiohttp.ClientSession, admin: Admin, readiness: Readiness, number: int
    ) -> None:
        self.number = number
        self.service = service
        self.session = session
        self.admin = admin
        self.readiness = readiness

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.call("GET", path)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, path, **more) as response:
            text = await response.text()
            assert response.headers["Content-Type"].startswith("application/json")
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def admin_port(service: Service, tokens: TokenRing[str] = NO_TOKENS) -> AsyncIterator[Port]:
    registry, readiness = CollectorRegistry(), Readiness()
    Metrics(registry, "1.2.3")
    readiness.missing = ()
    request_ids = RequestIds("admin")
    admin = Admin(
        overview=service.overview,
        membership=service.membership,
        guard=service.guard,
        freezes=service.freezes,
        retention=service.guarding.eviction,
        taught=service.taught,
        keeper=service.keeper,
        notices=Kept(),
        metrics=registry,
        readiness=readiness,
        tokens=tokens,
        request_ids=request_ids,
        events=service.events,
    )
    runner = web.AppRunner(admin.app(), access_log=None)
    await runner.setup()
    await AdminSite(runner, "127.0.0.1", 0, request_ids).start()
    try:
        number = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{number}") as session:
            yield Port(service, session, admin, readiness, number)
    finally:
        await runner.cleanup()

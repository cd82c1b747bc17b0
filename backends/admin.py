"""Health and metrics of a bundled backend, on a port of its own.

Knows how questions are answered only by their outcome and the time that they took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from appset_hub import QuestionFailed
from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from backends.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from appset_hub import Question, Running

T = TypeVar("T")

_LARGEST_PORT = 65535

_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)


class QuestionMetrics:
    """Counts a backend's questions, and how long they took."""

    def __init__(self, kind: str) -> None:
        self.registry = CollectorRegistry()
        self._questions = Counter(
            "appset_hub_plugin_questions", "Questions by outcome.", ("kind", "outcome"), registry=self.registry
        )
        self._duration = Histogram(
            "appset_hub_plugin_question_duration_seconds",
            "From a question to its outcome.",
            ("kind",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._kind = kind

    def measured(self, answering: Callable[[Question], Awaitable[T]]) -> Callable[[Question], Awaitable[T]]:
        """The same function, with its outcomes counted: `ok`, or the name of what it raised."""

        async def measured(question: Question) -> T:
            started_s, outcome = time.perf_counter(), "cancelled"
            try:
                answer = await answering(question)
                outcome = "ok"
            except QuestionFailed as failed:
                outcome = type(failed).__name__
                raise
            except asyncio.CancelledError:
                raise
            except BaseException:
                outcome = "exception"
                raise
            finally:
                self._questions.labels(self._kind, outcome).inc()
                self._duration.labels(self._kind).observe(time.perf_counter() - started_s)
            return answer

        return measured


@contextlib.asynccontextmanager
async def admin_port(address: str | None, metrics: QuestionMetrics, served: Running) -> AsyncIterator[None]:
    """Serve `/livez`, `/readyz` and `/metrics` inside the block; nothing without an address.

    Raises:
        Mistake: the address is none, or is taken.
    """
    if address is None:
        yield
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise Mistake("--admin", f'"{address}": expected HOST:PORT, for example 0.0.0.0:8080')
    runner = web.AppRunner(_app(metrics, served), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
        except OSError as error:
            raise Mistake("--admin", f"cannot listen on {address}: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()


def _app(metrics: QuestionMetrics, served: Running) -> web.Application:
    async def live(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(_: web.Request) -> web.Response:
        missing = [] if served.ready else ["no hub is attached"]
        return web.json_response({"ready": served.ready, "missing": missing}, status=200 if served.ready else 503)

    async def scrape(request: web.Request) -> web.Response:
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(metrics.registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", scrape)])
    return app

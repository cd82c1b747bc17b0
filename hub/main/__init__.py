"""Runs a hub: from settings to a process that stops when it is told to."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

from hub.core.events import HubStopping
from hub.main.reload import Reloader
from hub.main.tasks import stop as stop_task
from hub.main.wiring import Hub

if TYPE_CHECKING:
    from hub.config.load import Source
    from hub.core.settings import Settings

_GC_THRESHOLD = 20_000  # New objects between two looks; Python's own is 700.


async def serve(source: Source, settings: Settings) -> None:
    """Run a hub until SIGTERM or SIGINT.

    Raises:
        CannotListen: a port is taken.
        CannotOpenStore: the store's file cannot be used.
    """
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(received: signal.Signals) -> None:
        if stopping.done():
            # Asked twice: somebody does not want to wait.
            raise SystemExit(128 + received)
        stopping.set_result(received)

    async with Hub(settings) as hub:
        # What is there now stays; and requests leave no cycles behind, so look for such rarely.
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        reloader = Reloader(hub, source, settings)
        loop.add_signal_handler(signal.SIGHUP, reloader.reload)
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop, one)
        watching = asyncio.ensure_future(reloader.run())
        received = await stopping
        await stop_task(watching)
        hub.telemetry.emit(HubStopping(signal=received.name))
        # Ctrl-C is a person who waits; SIGTERM is a platform that moves callers elsewhere meanwhile.
        await hub.drain(settings.drain.delay_s if received is signal.SIGTERM else 0.0)


def run(source: Source, settings: Settings) -> None:
    """Run a hub in this process until it is told to stop."""
    import uvloop  # noqa: PLC0415 - only this needs it: commands that ask a running hub start faster without.

    uvloop.run(serve(source, settings))

"""Runs a hub: from settings to a process that stops when it is told to."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hub.core.errors import StoreFailed
from hub.core.events import HubStopping, InternalFault
from hub.main.reload import Reloader
from hub.main.wiring import Hub
from hub.rpc.server import CannotListen
from hub.service.ports import Fatal
from hub.store.sqlite import CannotOpenStore
from hub.telemetry.stalls import StallWatch
from hub.telemetry.stderr import own_stderr
from hub.telemetry.unhandled import reported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.config.load import Source
    from hub.core.settings import Settings

_GC_THRESHOLD = 20_000  # New objects between two looks; Python's own is 700.


class Defect(Exception):
    """A defect of the hub's own ended it; the log says which."""


async def serve(source: Source, settings: Settings) -> None:
    """Run a hub until SIGTERM or SIGINT.

    Raises:
        CannotListen: a port is taken.
        CannotOpenStore: the store's file cannot be used.
        Fatal: the hub cannot go on; what was in flight has been answered.
        Defect: something else, which the log has.
    """
    with own_stderr() as own:
        hub = Hub(settings, own.stream)
        own.tell(hub.telemetry)
        await _run(hub, source, settings)


async def _run(hub: Hub, source: Source, settings: Settings) -> None:
    with reported(hub.telemetry), _defects_logged(hub):
        stopping = _signals()
        async with hub, StallWatch(hub.telemetry):
            # What is there now stays; and requests leave no cycles behind, so look for such rarely.
            gc.freeze()
            gc.set_threshold(_GC_THRESHOLD)
            reloader = Reloader(hub, source, settings)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload)
            hub.supervisor.start("file_watch", reloader.watch.listen)
            reloading = hub.supervisor.start("reload", reloader.run)
            await asyncio.wait((stopping, hub.supervisor.fatal), return_when=asyncio.FIRST_COMPLETED)
            # Not awaited: the drain depends on no other task.
            reloading.cancel()
            await _drain(hub, stopping, settings.drain.delay_s)


@contextmanager
def _defects_logged(hub: Hub) -> Iterator[None]:
    """Write a defect that ends the process to the log, where Python would print it beside the log."""
    try:
        yield
    except (CannotListen, CannotOpenStore, Fatal, StoreFailed):
        raise
    except Exception as error:
        hub.telemetry.emit(InternalFault(where="the hub ends", request_id="", traceback=traceback.format_exc()))
        raise Defect(f"the hub ends because of a defect: {type(error).__name__}; its log has the details") from error


def _signals() -> asyncio.Future[signal.Signals]:
    """The first signal to stop; a second one ends the process."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(received: signal.Signals) -> None:
        if stopping.done():
            # Asked twice: somebody does not want to wait.
            raise SystemExit(128 + received)
        stopping.set_result(received)

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop, one)
    return stopping


async def _drain(hub: Hub, stopping: asyncio.Future[signal.Signals], delay_s: float) -> None:
    """Answer what is in flight.

    Raises:
        Fatal: no signal asked for it.
    """
    received = stopping.result() if stopping.done() else None
    hub.telemetry.emit(HubStopping(signal=received.name if received is not None else "none: a task cannot go on"))
    # Ctrl-C is a person who waits; SIGTERM is a platform that moves callers elsewhere meanwhile.
    await hub.drain(delay_s if received is signal.SIGTERM else 0.0)
    if received is None:
        raise Fatal(hub.supervisor.fatal.result())


def run(source: Source, settings: Settings) -> None:
    """Run a hub in this process until it is told to stop."""
    _allow_descriptors()
    import uvloop  # noqa: PLC0415 - only this needs it: commands that ask a running hub start faster without.

    uvloop.run(serve(source, settings))


def _allow_descriptors() -> None:
    """Open as many files as the platform allows: each connection is one, and the usual first limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # Of platforms with a lower limit than they say.
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

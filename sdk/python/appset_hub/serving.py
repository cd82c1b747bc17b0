"""Runs a backend: `serve` for scripts, `run` and `running` inside a program that has a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import inspect
import logging
import signal
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from appset_hub.addresses import Addresses, resolve_by_system
from appset_hub.asking import Asker
from appset_hub.channels import authorization
from appset_hub.codec import backend_info
from appset_hub.dialled import Dialled
from appset_hub.errors import CannotServe, InvalidSettings
from appset_hub.lease import Lease
from appset_hub.link import Attachments, Link
from appset_hub.malloc import expect_large_blocks
from appset_hub.proxies import say_proxies_ignored
from appset_hub.settings import DEFAULT_HUB, Backend, Connection, Pace, Problems, new_instance
from appset_hub.v1 import registry_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from appset_hub.addresses import Companion, Resolve
    from appset_hub.question import Function

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("appset_hub")


def _checked(function: Callable[P, T]) -> Callable[P, T]:
    """Check where `serve` is called, and that its arguments fit; say what was probably meant."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        _check_place()
        unknown = [name for name in kwargs if name not in signature.parameters]
        if unknown:
            raise _refused(*(f"{name}: serve has no such argument{_meant(name, signature)}" for name in unknown))
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            # Python 3.12 and later say "keyword-only argument".
            raise _refused(f"serve: {str(error).replace('keyword-only ', '')}") from error
        return function(*args, **kwargs)

    return called


def _meant(name: str, signature: inspect.Signature) -> str:
    close = difflib.get_close_matches(name, signature.parameters, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; it has {', '.join(signature.parameters)}"


def _refused(*problems: str) -> CannotServe:
    _log.error("cannot start: %s", "; ".join(problems))
    return CannotServe(*problems)


@_checked
def serve(  # noqa: PLR0913 - the one call of a script; each argument is a line of its documentation.
    function: Function,
    *,
    name: str,
    application_sets: Sequence[str] = (),
    hub: str | None = None,
    listen: str | None = None,
    address: str | None = None,
    token_file: str | Path | None = None,
    ca_file: str | Path | None = None,
    cert_file: str | Path | None = None,
    key_file: str | Path | None = None,
    client_ca_file: str | Path | None = None,
    instance: str = "",
    version: str = "",
    input_schema: Mapping[str, Any] | None = None,
    max_in_flight: int = 0,
    grace_s: float = 25.0,
    proxy_from_environment: bool = False,
    pace: Pace | None = None,
) -> None:
    """Serve `function` until SIGTERM or SIGINT, then finish what is in flight; a second signal ends it at once.

    The arguments are those of `Backend` and `Connection`. Without `hub` and `listen`, the hub is looked for on this
    machine. Everything that is wrong with them is logged in one line; a script that does not catch the exception then
    ends with exit code 2.

    Raises:
        InvalidSettings: something is wrong with the arguments, or `serve` cannot run here; nothing was started.
    """
    problems = Problems()
    with problems.collected():
        backend = Backend(
            function=function,
            name=name,
            application_sets=application_sets,
            version=version,
            instance=instance,
            input_schema=input_schema,
            max_in_flight=max_in_flight,
        )
    with problems.collected():
        connection = Connection(
            hub=DEFAULT_HUB if hub is None and listen is None else hub,
            listen=listen,
            address=address,
            token_file=token_file,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            client_ca_file=client_ca_file,
            grace_s=grace_s,
            proxy_from_environment=proxy_from_environment,
            pace=pace or Pace(),
        )
    try:
        problems.raise_any()
        asyncio.run(run_until_signal(backend, connection))
    except InvalidSettings as error:
        raise _refused(*error.problems) from error
    except SystemExit:
        # A task that the function started called it: that ends the loop, and Python says nothing of it.
        _log.critical("sys.exit was called in a task that the function started; the backend ends", exc_info=True)
        raise


def _check_place() -> None:
    """Refuse where the caller's program would hang or break.

    Raises:
        InvalidSettings: a loop is running here, or this is not the main thread. Not a `CannotServe`: as a `SystemExit`
            it would end the caller's loop, or its thread without a word.
    """
    instead = "use appset_hub.run(Backend(…), Connection(…), stop=…) instead"
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise InvalidSettings(f"serve: an event loop is running here, and serve starts its own; {instead}")
    if threading.current_thread() is not threading.main_thread():
        name = threading.current_thread().name
        raise InvalidSettings(f'serve: called in thread "{name}", which no signal reaches to stop it; {instead}')


async def run_until_signal(backend: Backend, connection: Connection) -> None:
    """Do what `serve` does, on the loop that is running."""
    with stop_on_signal() as stop:
        await run(backend, connection, stop=stop)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set; a second one cancels the task that is in the block.

    Signals reach the main thread only, so in another one nothing sets the event.
    """
    stop = asyncio.Event()
    task = asyncio.current_task()
    if threading.current_thread() is not threading.main_thread() or task is None:
        yield stop
        return

    def signalled() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def run(backend: Backend, connection: Connection, *, stop: asyncio.Event | None = None) -> None:
    """Serve `backend` until `stop` is set, then leave in good order. Cancelled, it ends at once."""
    async with running(backend, connection) as served:
        await served.until(stop or asyncio.Event())


class Presence(Protocol):
    """One way of being there for the hub: attached, or dialled."""

    async def run(self) -> None:
        """Be there until `leave` is called and what is in flight is finished."""
        ...

    def leave(self) -> None:
        """Ask for no more questions."""
        ...


class Running:
    """A backend that is being served."""

    def __init__(self, task: asyncio.Task[None], attachments: Attachments, listening: asyncio.Future[int]) -> None:
        self._task = task
        self._attachments = attachments
        self._listening = listening

    @property
    def ready(self) -> bool:
        """Whether a hub can ask this backend now: it is attached to one, or listens."""
        return self._attachments.any or (self._listening.done() and not self._listening.cancelled())

    async def until(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set, or the backend ended by a fault, which then leaves the block of `running`."""
        await self._first(stop.wait())

    async def attached(self) -> None:
        """Wait until an attached backend has been attached to a hub for the first time."""
        await self._first(self._attachments.first.wait())

    async def port(self) -> int:
        """Wait until a dialled backend listens; return its port."""
        await self._first(asyncio.shield(self._listening))
        return self._listening.result()

    async def _first(self, awaitable: Awaitable[object]) -> None:
        """Wait for `awaitable`, but no longer than the backend lives."""
        waiting = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._task.done():
            self._task.result()


@contextlib.asynccontextmanager
async def running(
    backend: Backend, connection: Connection, *, resolve: Resolve = resolve_by_system
) -> AsyncIterator[Running]:
    """Serve `backend` inside the block. At its end what is in flight is finished, within `connection.grace_s`.

    An exception in the block ends everything at once. `resolve` finds the addresses behind the hub's name.

    Raises:
        InvalidSettings: the token cannot be read, or the backend cannot listen.
    """
    authorization(connection)
    say_proxies_ignored(connection)
    expect_large_blocks()
    asker = Asker(backend.function, threads=backend.max_in_flight)
    attachments = Attachments()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    info = backend_info(backend, backend.instance or new_instance())

    def at_every_address(companion: Callable[[str], Companion]) -> Addresses:
        return Addresses(connection.hub or "", pace=connection.pace, companion=companion, resolve=resolve)

    def link(target: str) -> Link:
        return Link(target, connection=connection, asker=asker, info=info, attachments=attachments)

    def lease(target: str) -> Lease:
        registration = registry_pb2.RegisterRequest(backend=info, address=connection.address or "")
        return Lease(target, connection=connection, registration=registration)

    presence: Presence
    if connection.attached:
        presence = at_every_address(link)
    else:
        leases = at_every_address(lease) if connection.hub is not None else None
        presence = Dialled(asker, connection, leases=leases, listening=listening)
    task = asyncio.create_task(presence.run())
    try:
        yield Running(task, attachments, listening)
        presence.leave()
        await asyncio.wait([task], timeout=connection.grace_s)
    finally:
        task.cancel()
        await asyncio.wait([task])
        asker.close()
    if not task.cancelled():
        task.result()

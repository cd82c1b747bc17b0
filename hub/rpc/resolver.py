"""Looks up host names as every other program of this machine does: with its resolver, hosts file and search list.

``getaddrinfo`` cannot be interrupted and may take half a minute, so each lookup runs in a daemon thread, which does not
delay the end of the process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

from hub.core.names import endpoint
from hub.service.ports import Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hub.core.names import HostName

_WITHIN_S = 10.0
_THREADS = 32


class SystemResolver:
    """The resolver of the machine."""

    def __init__(self, lookup: Callable[..., list[Any]] = socket.getaddrinfo, *, within_s: float = _WITHIN_S) -> None:
        self._lookup = lookup
        self._within_s = within_s
        self._free = asyncio.Semaphore(_THREADS)
        self._under_way: dict[HostName, asyncio.Future[tuple[str, ...]]] = {}

    async def resolve(self, name: HostName) -> tuple[str, ...]:
        """The addresses behind a name, each with the port.

        Raises:
            Unresolved: there is none, or no answer in time.
        """
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(await self._started(name))
        except TimeoutError as error:
            raise Unresolved(f"no answer from DNS within {self._within_s:g} s") from error
        except OSError as error:
            raise Unresolved(error.strerror or type(error).__name__) from error
        except UnicodeError as error:
            raise Unresolved("it is not a host name") from error

    async def _started(self, name: HostName) -> asyncio.Future[tuple[str, ...]]:
        """The lookup that is under way, or a new one: of each name, one thread at most hangs."""
        if name not in self._under_way:
            await self._free.acquire()
            if name in self._under_way:
                self._free.release()
                return self._under_way[name]
            future: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
            self._under_way[name] = future
            future.add_done_callback(lambda ended: self._ended(name, ended))
            threading.Thread(target=self._run, args=(name, future), name="lookup", daemon=True).start()
        return self._under_way[name]

    def _ended(self, name: HostName, future: asyncio.Future[tuple[str, ...]]) -> None:
        del self._under_way[name]
        self._free.release()
        if not future.cancelled():
            future.exception()  # Retrieved, even if no one waits for it.

    def _run(self, name: HostName, future: asyncio.Future[tuple[str, ...]]) -> None:
        found: tuple[str, ...] | Exception
        try:
            entries = self._lookup(name.host, name.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found = tuple(dict.fromkeys(endpoint(entry[4][0], name.port) for entry in entries))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to know.
            found = error
        try:
            future.get_loop().call_soon_threadsafe(_finish, future, found)
        except RuntimeError:
            return  # The loop has ended, and with it all that could wait for this.


def _finish(future: asyncio.Future[tuple[str, ...]], found: tuple[str, ...] | Exception) -> None:
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)

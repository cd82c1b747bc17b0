"""Runs functions in processes of its own, few at a time, and ends a process whose function is not wanted any more.

They are started as new programs and never forked: a copy of this process would have gRPC's locks without its threads.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Self, TypeVar, cast

from hub.apart.outcome import LENGTH_BYTES, READY, Outcome
from hub.service.ports import WorkLost, WorkNotStarted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_IDLE_S = 30.0  # A process without work is kept for so long.
_KEPT_BELOW_BYTES = 96 * 1024 * 1024  # One that has used more is ended, because Python gives little of it back.

_START_S = 10.0
_LAST_WORDS_S = 1.0  # Between the end of its socket and that of a process.

T = TypeVar("T")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Processes:
    """Runs functions while its context lasts, each in one of at most ``most`` processes."""

    def __init__(self, *, most: int | asyncio.Semaphore, memory_bytes: int = 0) -> None:
        """``memory_bytes`` is the address space that each process may have; 0: no limit of its own.

        A semaphore as ``most`` may be shared with others who start processes.
        """
        self._turns = asyncio.Semaphore(most) if isinstance(most, int) else most
        self._memory_bytes = memory_bytes
        self._idle: _Process | None = None
        self._running: set[_Process] = set()
        self._ending: set[asyncio.Task[int]] = set()

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:
        """What ``work`` returns: a function of a module, or a ``partial`` of one, with arguments that can be pickled.

        Cancelling this call ends the process. ``within_s`` counts from when there is one.

        Raises:
            WorkNotStarted: the process could not be started, or took too long.
            WorkLost: it ended before it said anything, or did not say anything in time.
            Exception: what ``work`` raises.
        """
        async with self._turns:
            process = self._taken()
            self._running.add(process)
            outcome = None
            try:
                streams = await process.ready()
                async with asyncio.timeout(within_s):
                    outcome = await process.run(streams, pickle.dumps(work, pickle.HIGHEST_PROTOCOL))
            except TimeoutError as error:
                raise WorkLost(f"it takes longer than {within_s:g} s") from error
            finally:
                self._running.discard(process)
                if outcome is None or outcome.peak_bytes > _KEPT_BELOW_BYTES or self._idle is not None:
                    self._end(process)
                else:
                    self._keep(process)
        if outcome.error is not None:
            raise outcome.error
        return cast("T", outcome.value)

    def pids(self) -> list[int]:
        """The processes that there are."""
        return [one.pid for one in (*self._running, *([] if self._idle is None else [self._idle]))]

    def shrink(self) -> None:
        """End the process that has nothing to do."""
        if self._idle is not None:
            self._idle.wanted()
            self._end_idle()

    def _taken(self) -> _Process:
        process, self._idle = self._idle, None
        if process is not None:
            process.wanted()
            if process.is_running:
                return process
            # Somebody else has ended it; its work was done.
            self._end(process)
        return _Process(self._memory_bytes)

    def _keep(self, process: _Process) -> None:
        self._idle = process
        process.unwanted(_IDLE_S, self._end_idle)

    def _end_idle(self) -> None:
        process, self._idle = self._idle, None
        if process is not None:
            self._end(process)

    def _end(self, process: _Process) -> None:
        process.hang_up()
        # Its memory is freed as it ends, which may take a while.
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(process.end))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._end_idle()
        for process in self._running:
            process.kill()
        await asyncio.gather(*self._ending)


class _Process:
    """One process, and the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        self._timer: asyncio.TimerHandle | None = None
        self._streams: Streams | None = None
        with theirs:
            try:
                self._process = _started(theirs, memory_bytes)
            except OSError as error:
                self._socket.close()
                raise WorkNotStarted(f"a process could not be started: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    async def ready(self) -> Streams:
        """Wait until it can take work."""
        if self._streams is not None:
            return self._streams
        self._streams = await asyncio.open_connection(sock=self._socket)
        try:
            async with asyncio.timeout(_START_S):
                said = await self._streams[0].readexactly(LENGTH_BYTES)
        except TimeoutError as error:
            raise WorkNotStarted(f"a process did not start within {_START_S:g} s") from error
        except (OSError, EOFError) as error:
            raise WorkLost(await self._how_it_ended()) from error
        assert said == READY  # noqa: S101 - the worker begins with nothing else.
        return self._streams

    async def run(self, streams: Streams, work: bytes) -> Outcome:
        """Send a function, and wait for what comes of it."""
        reader, writer = streams
        try:
            writer.write(len(work).to_bytes(LENGTH_BYTES, "big"))
            writer.write(work)
            await writer.drain()
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            outcome = pickle.loads(await reader.readexactly(length))  # noqa: S301 - of our own process.
        except (OSError, EOFError) as error:
            raise WorkLost(await self._how_it_ended()) from error
        assert isinstance(outcome, Outcome)  # noqa: S101 - the worker writes nothing else.
        return outcome

    async def _how_it_ended(self) -> str:
        return _how(await asyncio.to_thread(self.end, _LAST_WORDS_S))

    def unwanted(self, within_s: float, then: Callable[[], None]) -> None:
        """Call ``then`` unless this process is wanted within that time."""
        self._timer = asyncio.get_running_loop().call_later(within_s, then)

    def wanted(self) -> None:
        """It has work again."""
        if self._timer is not None:
            self._timer.cancel()

    def kill(self) -> None:
        """End it now; what waits for it fails."""
        self._process.kill()

    def hang_up(self) -> None:
        """Close the socket to it."""
        if self._streams is None:
            self._socket.close()
        else:
            self._streams[1].close()

    def end(self, within_s: float = 0.0) -> int:
        """End it, by force unless it has ended within that time, and return how: its exit code, or minus a signal."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _how(code: int) -> str:
    return f"its process ended with signal {-code}" if code < 0 else f"its process ended with exit code {code}"


def _started(channel: socket.socket, memory_bytes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program.
        [sys.executable, "-P", "-m", "hub.apart.worker", str(memory_bytes)],
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        # A library's last words would stand in the log as if they were the hub's.
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )

"""Owns the hub's long-lived tasks: starts one again when it ends, and says so.

All of them but one are started again, after a pause that grows with each failure: what they do can be late, but the
hub's answers are right without it. What ends with ``Fatal`` cannot be repaired from inside, so it ends the process, and
the platform starts another.

=============  ================================  ==============================================
task           while it does not run             after an unexpected end
=============  ================================  ==============================================
lease_expiry   dead instances are still asked    started again
guard          old losses count for longer       started again
retention      the store grows                   started again
reload         changes of files are not applied  started again
file_watch     files are looked at each second   started again
dial_watch     one address keeps its last state  started again
name_watch     the addresses of a name stay      started again
store          changed answers are refused       the process ends, because its thread is gone
store_watch    a lost store is noticed later     started again
memory         the platform may end the process  started again
=============  ================================  ==============================================
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any, Self

from hub.core.events import TaskFailed
from hub.service.ports import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from hub.core.events import TaskName
    from hub.service.ports import Clock, Events

    Work = Callable[[], Coroutine[Any, Any, None]]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 10.0  # A task that has run for so long has recovered.


class _EndedEarly(Exception):
    """A task that should run as long as the hub returned."""


class Supervisor:
    """Runs tasks while its context lasts."""

    def __init__(self, events: Events, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[object, _Failures] = {}
        self.fatal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the process has to end, once it has to."""

    @property
    def failing(self) -> tuple[str, ...]:
        """The tasks that have failed, and have not run for long enough since."""
        now_s = self._clock()
        return tuple(sorted({one.task for one in self._failures.values() if now_s < one.steady_at_s}))

    def start(self, task: TaskName, work: Work) -> asyncio.Task[None]:
        """Run ``work`` until this context ends; cancel what is returned to end it earlier."""
        running = asyncio.get_running_loop().create_task(self.keep(task, work, forever=True), name=task)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return running

    async def keep(self, task: TaskName, work: Work, *, forever: bool = False) -> None:
        """Run ``work``, and again when it fails, until it returns or is cancelled; ``forever``: it must not return."""
        key = object()
        try:
            while True:
                try:
                    return await (_without_end(work) if forever else work())
                except Fatal as error:
                    self._tell(task, "the hub ends")
                    if not self.fatal.done():
                        self.fatal.set_result(str(error))
                    return None
                except asyncio.CancelledError:
                    if _is_cancelled():
                        raise
                    # Something that it waited for was cancelled, and not the task.
                    pause_s = self._failed(key, task)
                except Exception:  # noqa: BLE001 - whatever it is, the task has to run again.
                    pause_s = self._failed(key, task)
                await asyncio.sleep(pause_s)
        finally:
            self._failures.pop(key, None)

    def _failed(self, key: object, task: TaskName) -> float:
        pause_s = self._failures.setdefault(key, _Failures(task)).add(self._clock())
        self._tell(task, f"it starts again in {pause_s:g} s")
        return pause_s

    def _tell(self, task: TaskName, then: str) -> None:
        self._events.emit(TaskFailed(task=task, then=then, traceback=traceback.format_exc()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _without_end(work: Work) -> None:
    await work()
    raise _EndedEarly


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Failures:
    """How often one task failed in a row."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.steady_at_s = 0.0
        self._pause_s = _FIRST_PAUSE_S

    def add(self, now_s: float) -> float:
        """One more; returns how long to wait before the task is started again."""
        pause_s = _FIRST_PAUSE_S if now_s >= self.steady_at_s else min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._pause_s = pause_s
        # As long again as the pause was, and a while: until then one more failure belongs to the same trouble.
        self.steady_at_s = now_s + 2 * pause_s + _STEADY_S
        return pause_s

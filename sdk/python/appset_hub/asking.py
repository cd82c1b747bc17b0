"""One question put to the author's function, and its outcome.

Knows neither gRPC nor who asked. Whatever the function does, what comes out is an `Encoded` answer or a
`QuestionFailed`. Only what is meant for the program as a whole passes through: a cancellation from outside, and Ctrl-C.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from appset_hub.encoding import Encoded, encode_answer
from appset_hub.errors import BackendFault, QuestionFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appset_hub.question import Function, Question

_log = logging.getLogger("appset_hub")

DEFAULT_THREADS = 32
"""How many questions a plain function answers at once, unless the backend says how many it wants."""


class Asker:
    """Calls the function of one backend: an async one on the loop, a plain one in a thread."""

    def __init__(self, function: Function, *, threads: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads or DEFAULT_THREADS, thread_name_prefix="appset-hub")
        self._function: Callable[[Question], Awaitable[object]] = (
            function if _is_async(function) else self._in_thread(function)  # type: ignore[assignment]  # told apart here
        )

    async def ask(self, question: Question, *, known_digest: str, max_bytes: int) -> Encoded:
        """Return the function's answer to `question`.

        Raises:
            QuestionFailed: there is none.
        """
        task = asyncio.current_task()
        try:
            returned = await self._function(question)
            return encode_answer(returned, known_digest=known_digest, max_bytes=max_bytes)
        except QuestionFailed as failed:
            _log_failed(question, failed)
            raise
        except asyncio.CancelledError as cancelled:
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this question: the function let go of something else that was cancelled.
            raise _fault(question, cancelled) from cancelled
        except KeyboardInterrupt as interrupt:
            # On the loop it is what Python makes of Ctrl-C, and the program has to end; in a thread it cannot be.
            _fault(question, interrupt)
            raise
        except GeneratorExit as closing:
            if _running() is not task:  # The coroutine is being thrown away; only its own code runs in its task.
                raise
            raise _fault(question, closing) from closing
        except BaseException as error:  # the function is foreign code: what it raises ends its question only
            raise _fault(question, error) from error

    def close(self) -> None:
        """Start no more threads. Those that run end when their function returns."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _in_thread(self, function: Callable[[Question], object]) -> Callable[[Question], Awaitable[object]]:
        async def asked(question: Question) -> object:
            loop = asyncio.get_running_loop()
            returned = await loop.run_in_executor(self._threads, _call, function, question)
            return await returned if inspect.isawaitable(returned) else returned

        return asked


def _call(function: Callable[[Question], object], question: Question) -> object:
    try:
        return function(question)
    except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:
        # Whoever awaits must not get these: a future cannot carry the first, the second would close the coroutine, and
        # the third would end the program, although Ctrl-C never interrupts a thread.
        raise RuntimeError(f"the function raised {type(error).__name__}") from error


def _running() -> asyncio.Task[object] | None:
    """Return the task that is running, or None, also without a loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - the method itself is wanted.


def _fault(question: Question, error: BaseException) -> BackendFault:
    what = "called sys.exit" if isinstance(error, SystemExit) else f"failed with {type(error).__name__}"
    _log.error("the function %s (request %s)", what, question.request_id or "-", exc_info=error)
    return BackendFault(f"the function {what}; the backend's log has the details")


def _log_failed(question: Question, failed: QuestionFailed) -> None:
    level = logging.ERROR if isinstance(failed, BackendFault) else logging.INFO
    _log.log(level, "no answer: %s (request %s)", failed.message, question.request_id or "-")

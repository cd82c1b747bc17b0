"""A loop whose clock jumps: a test of a deadline of 25 seconds takes none, and needs no sleep."""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")

_AN_INSTANT_S = 1e-6


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: when nothing is ready, the clock moves to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("the test waits for something that cannot happen any more")
            self.now_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def on_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test on a loop of its own whose time is virtual."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def all_has_run() -> None:
    """Return when every task waits for something: virtual time moves only then."""
    await after(_AN_INSTANT_S)


async def after(delay_s: float) -> None:
    """Return when this much virtual time has passed."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(delay_s, passed.set_result, None)
    await passed


def now_s() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()

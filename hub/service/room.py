"""How much memory large answers may take together, so that the platform has no reason to end the process.

Nobody knows the size of an answer before it is here, and then it is too late to refuse it. So a backend that gave a
large one lately is expected to do it again, and its questions wait for room. A large answer that comes without warning
is refused if there is none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from hub.core.errors import Shedding

if TYPE_CHECKING:
    from hub.core.deadline import Deadline
    from hub.service.ports import Clock

LARGE_BYTES = 512 * 1024
"""From here on an answer is large: it counts here, and is read in another process.

One of fewer bytes takes at most some 50 ms, whatever is in it, and the limits on requests in flight are enough for it.
"""

_COPIES = 3  # Of an answer: as it came, as it was checked, and combined.
_EXPECTED_FOR_S = 600.0
_LEFT_FOR_REFUSAL_S = 0.1

_FULL = (
    "the hub has no memory for one more large answer now (limits.memory); Applications are left unchanged. Ask again, "
    "or raise the limit"
)


class Room:
    """The memory for large answers that are under way. ``None``: as much as there is."""

    def __init__(self, total_bytes: int | None, clock: Clock) -> None:
        self._total_bytes = total_bytes
        self._clock = clock
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._expected: dict[str, tuple[int, float]] = {}
        self.taken_bytes = 0
        """How much is taken."""
        self._is_closed = False

    def close(self) -> None:
        """Let only one answer in at a time, until it is opened."""
        self._is_closed = True

    def open(self) -> None:
        """Let in whatever fits."""
        self._is_closed = False
        self._let_in()

    def expected_bytes(self, backend: str) -> int:
        """How much to take before this backend is asked; mostly 0."""
        if not self._expected:
            return 0
        size_bytes, until_s = self._expected.get(backend, (0, 0.0))
        return size_bytes if self._clock() < until_s else 0

    async def take(self, size_bytes: int, deadline: Deadline) -> None:
        """Wait until so much is free, and take it.

        Raises:
            Shedding: it was not before the deadline.
        """
        if self._fits(size_bytes) and not self._waiting:
            self.taken_bytes += size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            async with asyncio.timeout(deadline.left_s(self._clock()) - _LEFT_FOR_REFUSAL_S):
                await turn
        except TimeoutError as error:
            self._forgo(size_bytes, turn)
            raise Shedding(_FULL) from error
        except asyncio.CancelledError:
            self._forgo(size_bytes, turn)
            raise

    def _forgo(self, size_bytes: int, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.taken_bytes -= size_bytes
        else:
            self._waiting.remove((size_bytes, turn))
        self._let_in()

    def arrived(self, backend: str, answer_bytes: int, taken_bytes: int) -> int:
        """A large answer is here, for which ``taken_bytes`` were taken; takes, and returns, what is missing.

        Raises:
            Shedding: it needs more than there is. What was taken stays so.
        """
        if self._total_bytes is None:
            return 0
        size_bytes = _COPIES * answer_bytes
        self._expected[backend] = (max(size_bytes, self.expected_bytes(backend)), self._clock() + _EXPECTED_FOR_S)
        more_bytes = size_bytes - taken_bytes
        if more_bytes <= 0:
            return 0
        if not self._fits(more_bytes, besides=taken_bytes):
            raise Shedding(_FULL)
        self.taken_bytes += more_bytes
        return more_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken."""
        self.taken_bytes -= size_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size_bytes, turn = self._waiting.popleft()
            self.taken_bytes += size_bytes
            turn.set_result(None)

    def _fits(self, size_bytes: int, *, besides: int = 0) -> bool:
        # One answer alone has room, however small the total is.
        if self._total_bytes is None or self.taken_bytes <= besides:
            return True
        return not self._is_closed and self.taken_bytes + size_bytes <= self._total_bytes

"""Reads whole answers away from the loop if they are large, so that nobody else waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.core.combine import Answer

T = TypeVar("T")

_SMALL_SETS = 2000


async def aside(answer: Answer, work: Callable[[], T]) -> T:
    """What ``work`` returns, which reads a whole answer; in a thread if the answer is large."""
    return work() if len(answer.identities) <= _SMALL_SETS else await asyncio.to_thread(work)

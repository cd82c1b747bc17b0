"""How tasks end."""

from __future__ import annotations

import asyncio
from typing import Any


async def stop(task: asyncio.Future[Any]) -> None:
    """Cancel a task, and wait until it has ended; who calls this can be cancelled meanwhile.

    Raises:
        Exception: what the task ended with, if it was not cancelled.
    """
    task.cancel()
    # Not ``await task``: its cancellation could not be told from that of the caller.
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()

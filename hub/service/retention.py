"""How what lasts stays bounded: the questions that changed longest ago are dropped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hub.core.errors import StoreFailed, StoreLost
from hub.service import records

if TYPE_CHECKING:
    from hub.service.ports import Pruning

_EVERY_S = 600.0


async def keep_bounded(store: Pruning, kept: int) -> None:
    """Prune every ten minutes, until cancelled.

    What is held stays: its number is bounded by the questions, and it waits for a person.
    """
    while True:
        for kinds in (records.OF_QUESTIONS, (records.AUDIT,)):
            # The store has said why it failed; the next turn tries again.
            with suppress(StoreFailed, StoreLost):
                await store.prune(kinds, kept)
        await asyncio.sleep(_EVERY_S)

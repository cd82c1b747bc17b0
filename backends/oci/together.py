"""Asks side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from appset_hub import QuestionFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


async def together(asks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what all asks return, in their order.

    Raises:
        QuestionFailed: of several failures the first in that order, whichever came first in time, so that the same
            fault gives the same text.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(ask)) for ask in asks]
    results: list[T] = []
    for task in tasks:
        outcome = task.result()
        if isinstance(outcome, QuestionFailed):
            raise outcome
        results.append(outcome)
    return results


async def _outcome(ask: Coroutine[Any, Any, T]) -> T | QuestionFailed:
    try:
        return await ask
    except QuestionFailed as failed:
        return failed

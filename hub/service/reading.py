"""Checks and combines answers: small ones at once, large ones in another process, because they take long.

An answer of several megabytes takes a second or more to read and to write again. On the loop, everything else would
wait for it: other questions, heartbeats and health checks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hub.core.answer import amend, check
from hub.core.combine import combine, reads_sets
from hub.core.errors import CheckFailed
from hub.service.ports import WorkLost
from hub.service.room import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from hub.core.answer import CheckedAnswer, Limits
    from hub.core.combine import Answer, Recipe
    from hub.service.ports import Apart

    T = TypeVar("T")


class Reading:
    """From what backends answered to an answer that may leave, without stopping the loop."""

    def __init__(self, apart: Apart, limits: Limits) -> None:
        self._apart = apart
        self._limits = limits

    async def check(
        self, raw: bytes, *, subject: str, digest: str, before: CheckedAnswer | None, identify: bool
    ) -> CheckedAnswer:
        """A backend's answer, checked and written anew, as ``check`` does it.

        Raises:
            AnswerRefused: it breaks the contract.
            CheckFailed: the process that checked it ended.
        """
        limits = self._limits
        if len(raw) < LARGE_BYTES or len(raw) > limits.max_bytes:
            return check(raw, subject=subject, limits=limits, digest=digest, before=before, identify=identify)
        if before is not None:
            amended = amend(raw, before, limits, digest, identify=identify, max_middle_bytes=LARGE_BYTES)
            if amended is not None:
                return amended
        work = partial(check, raw, subject=subject, limits=limits, digest=digest, identify=identify)
        return await self._run(work, subject)

    async def combine(
        self, members: Sequence[tuple[str, CheckedAnswer]], recipe: Recipe, parameters: Mapping[str, Any]
    ) -> Answer:
        """The members' answers together, as ``combine`` does it.

        Raises:
            AnswerRefused: they do not fit together, or break the route's rules.
            CheckFailed: the process that combined them ended.
        """
        size_bytes = 0
        for _, answer in members:
            size_bytes += len(answer.sets_json)
        if size_bytes < LARGE_BYTES or not reads_sets(recipe):
            return combine(members, recipe, parameters, self._limits)
        # Nothing is combined from what a backend sent, only from what was written anew.
        lean = [(backend, replace(answer, raw=answer.sets_json, starts=None)) for backend, answer in members]
        return await self._run(partial(combine, lean, recipe, parameters, self._limits), f'route "{recipe.route}"')

    async def _run(self, work: Callable[[], T], subject: str) -> T:
        try:
            return await self._apart.run(work)
        except WorkLost as error:
            raise CheckFailed(
                f"{subject}: the answer is too large to check in the hub's own process, and {error}; Applications are "
                "left unchanged"
            ) from error

"""Checks inputs against the schemas that backends registered, at once where that is certain to be quick.

Anything else runs in another process, with a limit on its time and memory: a schema of a few kilobytes can take minutes
and gigabytes, or overflow the stack and end the process.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from hub.schema import validator
from hub.schema.cost import cost
from hub.service.ports import WorkLost, WorkNotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hub.service.ports import Apart

_AT_ONCE = 100_000  # The most work that is done in the hub's own process, as ``cost`` counts it: some 30 ms.
_LARGE_BYTES = 16 * 1024  # Larger schemas are not even compiled there.
_KEPT_BOUNDS = 1024
_KEPT_FITTING = 1024
_KEPT_INPUT_BYTES = 4096
_TURNS = 10  # So many times the limit on its time may work wait for a process.


class JsonSchemas:
    """Knows what fits. ``apart`` is where costly schemas are checked, each within ``within_s``."""

    def __init__(self, apart: Apart, *, within_s: float) -> None:
        self._apart = apart
        self._within_s = within_s
        self._bound = lru_cache(_KEPT_BOUNDS)(_bound)
        self._fitting: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    async def refusal(self, schema_json: bytes, parameters: Mapping[str, Any], input_json: bytes) -> str:
        """Why an input does not fit, with its path; empty when it does. ``input_json`` is its canonical text.

        Raises:
            WorkNotStarted: there is no process to check it.
            WorkLost: checking it exceeds a limit.
        """
        bound = self._bound(schema_json)
        if bound is not None and bound * (1 + len(input_json) // 2) <= _AT_ONCE:
            return validator.refusal(schema_json, parameters)
        key = (schema_json, input_json)
        if key in self._fitting:
            self._fitting.move_to_end(key)
            return ""
        refusal = await self._run(partial(validator.refusal_of, schema_json, input_json))
        if not refusal and len(input_json) <= _KEPT_INPUT_BYTES:
            self._fitting[key] = None
            if len(self._fitting) > _KEPT_FITTING:
                self._fitting.popitem(last=False)
        return refusal

    async def problem(self, schema_json: bytes) -> str:
        """Why this cannot be used as a schema; empty when it can.

        Raises:
            WorkNotStarted: there is no process to compile it.
        """
        if self._bound(schema_json) is not None:
            return validator.problem(schema_json)
        try:
            return await self._run(partial(validator.problem, schema_json))
        except WorkNotStarted:
            raise
        except WorkLost as error:
            return f"to compile it takes too much: {error}"

    async def _run(self, work: Callable[[], str]) -> str:
        try:
            async with asyncio.timeout(_TURNS * self._within_s):
                return await self._apart.run(work, within_s=self._within_s)
        except TimeoutError as error:
            raise WorkNotStarted("all processes that check schemas are busy") from error
        except MemoryError as error:
            raise WorkLost("it needs more memory than limits.schema_memory_bytes") from error


def _bound(schema_json: bytes) -> int | None:
    return cost(msgspec.json.decode(schema_json)) if len(schema_json) <= _LARGE_BYTES else None

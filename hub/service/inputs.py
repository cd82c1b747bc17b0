"""Whether an input is one that the members take, before any of them is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.errors import CheckFailed, InputRefused, SchemaLimit
from hub.core.events import SchemaExceeded
from hub.service.ports import WorkLost, WorkNotStarted

if TYPE_CHECKING:
    from hub.core.deadline import Deadline
    from hub.core.directory import Directory
    from hub.core.question import Call
    from hub.core.routes import Route
    from hub.service.ports import Events, Link, Schemas
    from hub.service.timekeeper import Timekeeper


class Inputs:
    """Checks inputs against the schemas that members registered."""

    def __init__(self, directory: Directory[Link], schemas: Schemas, events: Events, timekeeper: Timekeeper) -> None:
        self._directory = directory
        self._schemas = schemas
        self._events = events
        self._timekeeper = timekeeper

    async def check(self, route: Route, call: Call, deadline: Deadline) -> None:
        """Check an input against the schema of each member: the one of the instance that came last.

        Raises:
            InputRefused: a member would not take it; the text names the path.
            SchemaLimit: checking it exceeds a limit.
            CheckFailed: it cannot be checked now, or not before the deadline.
        """
        for backend in route.members:
            schema_json = self._directory.schema(backend)
            if schema_json and (refusal := await self._refusal(backend, schema_json, call, deadline)):
                raise InputRefused(f'backend "{backend}" refuses the input: {refusal}')

    async def _refusal(self, backend: str, schema_json: bytes, call: Call, deadline: Deadline) -> str:
        try:
            with self._timekeeper.until(deadline):
                return await self._schemas.refusal(schema_json, call.parameters, call.input_json)
        except TimeoutError as error:
            raise CheckFailed(
                f'the input was not checked against the schema of backend "{backend}" before the deadline; '
                "Applications are left unchanged"
            ) from error
        except WorkNotStarted as error:
            raise CheckFailed(
                f'the input cannot be checked against the schema of backend "{backend}" now: {error}; Applications are '
                "left unchanged"
            ) from error
        except WorkLost as error:
            self._events.emit(
                SchemaExceeded(backend=backend, application_set_name=call.application_set_name, detail=str(error))
            )
            raise SchemaLimit(
                f'the input cannot be checked against the schema of backend "{backend}": {error}; Applications are '
                "left unchanged. Simplify the schema, or raise limits.schema_time or limits.schema_memory_bytes"
            ) from error

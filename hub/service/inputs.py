"""Whether an input is one that the members take, before any of them is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.core.errors import InputRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.directory import Directory
    from hub.core.routes import Route
    from hub.service.ports import Link, Schemas


class Inputs:
    """Checks inputs against the schemas that members registered."""

    def __init__(self, directory: Directory[Link], schemas: Schemas) -> None:
        self._directory = directory
        self._schemas = schemas

    def check(self, route: Route, parameters: Mapping[str, Any]) -> None:
        """Check an input against the schema of each member: the one of the instance that came last.

        Raises:
            InputRefused: a member would not take it; the text names the path.
        """
        for backend in route.members:
            schema_json = self._directory.schema(backend)
            if schema_json and (refusal := self._schemas.refusal(schema_json, parameters)):
                raise InputRefused(f'backend "{backend}" refuses the input: {refusal}')

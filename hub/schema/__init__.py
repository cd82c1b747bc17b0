"""JSON Schemas of inputs: the edge to the library that knows them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT_SCHEMAS = 256


class JsonSchemas:
    """Checks inputs; compiled schemas are kept.

    References to other documents are refused, so that no backend makes the hub fetch anything. Messages name the path
    and never the value.
    """

    def __init__(self) -> None:
        self._compiled = lru_cache(_KEPT_SCHEMAS)(_compile)

    def refusal(self, schema_json: bytes, parameters: Mapping[str, Any]) -> str:
        """Why an input does not fit, with its path; empty when it does."""
        for error in self._compiled(schema_json).iter_errors(parameters):
            return f"{_path(error.instance_path)}: {error.message}"
        return ""

    def problem(self, schema_json: bytes) -> str:
        """Why this cannot be used as a schema; empty when it can."""
        try:
            self._compiled(schema_json)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            return str(error).splitlines()[0]
        return ""


def _compile(schema_json: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema_json), mask="the value", offline=True)


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)

"""The edge to the library that knows JSON Schema: compiles schemas and checks inputs, here or in another process.

References to other documents are refused, so that no backend makes the hub fetch anything. Regular expressions take
time in proportion to the text: those that look around or back are refused. Messages name the path and never the value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from hub.core.texts import plain
from hub.schema.cost import MAX_REFERENCES, looping

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT_SCHEMAS = 256
_MAX_CHARS = 300
_REGEX_BYTES = 1024 * 1024  # Of one compiled expression.

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES)


def refusal(schema_json: bytes, parameters: Mapping[str, Any]) -> str:
    """Why an input does not fit, with its path; empty when it does."""
    validator = _compiled(schema_json)
    # Without a message first: for one, the library looks at every alternative again.
    if validator.is_valid(parameters):
        return ""
    for error in validator.iter_errors(parameters):
        return plain(f"{_path(error.instance_path)}: {error.message}", _MAX_CHARS)
    return ""


def refusal_of(schema_json: bytes, input_json: bytes) -> str:
    """As ``refusal``, of an input that is still text."""
    return refusal(schema_json, msgspec.json.decode(input_json))


def problem(schema_json: bytes) -> str:
    """Why this cannot be used as a schema; empty when it can."""
    if reference := looping(msgspec.json.decode(schema_json)):
        return plain(
            f'"$ref": "{reference}" starts a chain of more than {MAX_REFERENCES}, or one without end', _MAX_CHARS
        )
    try:
        _compiled(schema_json)
    except jsonschema_rs.ValidationError as error:
        return plain(f"{_path(error.instance_path)}: {_explained(error.message)}", _MAX_CHARS)
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return plain(str(error).partition("\n")[0], _MAX_CHARS)
    return ""


def _explained(message: str) -> str:
    if message == 'the value is not a "regex"':
        return "not a regular expression, or one that looks around or back or is too large, which is not supported"
    return message


@lru_cache(_KEPT_SCHEMAS)
def _compiled(schema_json: bytes) -> jsonschema_rs.Validator:
    schema = msgspec.json.decode(schema_json)
    return jsonschema_rs.validator_for(schema, mask="the value", offline=True, pattern_options=_PATTERNS)


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)

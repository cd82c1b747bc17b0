"""A first look at an input schema: the mistakes that can be found without a validator. The hub checks the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appset_hub.errors import InvalidSettings
from appset_hub.nesting import MAX_LEVELS, is_deeper

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_BYTES = 256 * 1024
"""As the hub allows."""

_KEY = "input_schema"
_TOO_DEEP = f"{_KEY}: nested deeper than {MAX_LEVELS} levels"
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_MEANT = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}

_ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "dependentSchemas", "patternProperties", "properties")


def encode_schema(schema: object) -> bytes:
    """Return the schema as it travels.

    Raises:
        InvalidSettings: it is no JSON Schema; the message says where.
    """
    if not isinstance(schema, Mapping):
        hint = "; parse it first, with json.loads" if isinstance(schema, str | bytes) else ""
        raise InvalidSettings(f"{_KEY}: expected a JSON Schema as a dict, got {type(schema).__name__}{hint}")
    try:
        encoded = json.dumps(schema, allow_nan=False).encode()
    except RecursionError as error:
        raise InvalidSettings(_TOO_DEEP) from error
    except (TypeError, ValueError) as error:
        raise InvalidSettings(f"{_KEY}: not JSON: {error}") from error
    if is_deeper(schema):
        raise InvalidSettings(_TOO_DEEP)
    if len(encoded) > _LARGEST_BYTES:
        raise InvalidSettings(f"{_KEY}: has {len(encoded)} bytes; at most {_LARGEST_BYTES} are allowed")
    problems = tuple(_problems(schema, _KEY))
    if problems:
        raise InvalidSettings(*problems)
    return encoded


def _problems(schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"{path}: expected a schema, got {type(schema).__name__}"
        return
    yield from _type_problems(schema.get("type"), f"{path}.type")
    for key in ("required", "enum"):
        value = schema.get(key, [])
        if not isinstance(value, list | tuple):
            yield f"{path}.{key}: expected a list, got {type(value).__name__}"
    for key in _ONE:
        if key in schema:
            yield from _problems(schema[key], f"{path}.{key}")
    yield from _nested_problems(schema, path)


def _nested_problems(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in _LISTED:
        value = schema.get(key, [])
        if not isinstance(value, list | tuple):
            yield f"{path}.{key}: expected a list of schemas, got {type(value).__name__}"
            continue
        for index, one in enumerate(value):
            yield from _problems(one, f"{path}.{key}[{index}]")
    for key in _NAMED:
        value = schema.get(key, {})
        if not isinstance(value, Mapping):
            yield f"{path}.{key}: expected a dict of schemas, got {type(value).__name__}"
            continue
        for name, one in value.items():
            yield from _problems(one, f"{path}.{key}.{name}")


def _type_problems(value: object, path: str) -> Iterator[str]:
    for one in value if isinstance(value, list | tuple) else () if value is None else (value,):
        if one not in _TYPES:
            hint = f'; did you mean "{_MEANT[one]}"?' if isinstance(one, str) and one in _MEANT else ""
            yield f"{path}: {json.dumps(one)} is not a type; allowed are {', '.join(_TYPES)}{hint}"

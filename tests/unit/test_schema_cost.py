"""Which schemas are certain to be quick, and how quick."""

from __future__ import annotations

from typing import Any

import pytest

from hub.schema.cost import MAX_REFERENCES, cost, looping

DIGITS = "9" * 5000  # More than Python converts to a number.


def chain(references: int) -> dict[str, Any]:
    named: dict[str, Any] = {str(number): {"$ref": f"#/$defs/{number + 1}"} for number in range(references - 1)}
    return {"$defs": {**named, str(references - 1): {}}, "$ref": "#/$defs/0"}


def twofold(levels: int) -> dict[str, Any]:
    named = {str(number): {"allOf": [{"$ref": f"#/$defs/{number + 1}"}] * 2} for number in range(levels)}
    return {"$defs": {**named, str(levels): {"type": "string"}}, "$ref": "#/$defs/0"}


@pytest.mark.parametrize(
    ("schema", "least", "most"),
    [
        (True, 1, 1),
        ({}, 1, 1),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, 4, 10),
        ({"additionalProperties": False, "minProperties": 1}, 2, 5),
        ({"properties": {"a": {"$ref": "#/$defs/name"}}, "$defs": {"name": {"maxLength": 63}}}, 3, 10),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, 12, 20),
        ({"items": {"enum": [1, 2, {"a": [3]}]}}, 5, 10),
        ({"pattern": "^[a-z]{1,20}$"}, 240, 300),
        ({"format": "date-time"}, 20, 30),
        (twofold(4), 16, 400),
    ],
    ids=["true", "empty", "object", "closed", "reference", "one of", "values", "pattern", "format", "twofold"],
)
def test_the_work_of_a_plain_schema_has_a_bound(schema: Any, least: int, most: int) -> None:
    bound = cost(schema)
    assert bound is not None
    assert least <= bound <= most


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$ref": "https://example.test/schema"},
        {"$ref": "#/nowhere"},
        {"$ref": "#name", "$defs": {"a": {"$anchor": "name"}}},
        {"$dynamicRef": "#a"},
        {"unevaluatedProperties": False},
        {"a keyword of tomorrow": 1},
        {"format": "regex"},
        {"pattern": "((a{1,99}){1,99}){1,99}"},
        {"properties": []},
        {"items": "a"},
        {"$defs": {str(number): {"pattern": "(a{1,99}){1,99}"} for number in range(50)}},
        chain(65),
        twofold(20),
        {"anyOf": [{"anyOf": [{"anyOf": [{"anyOf": [{"pattern": "a" * 300}]}]}]}]},
        {"format": ["date"]},
        {"format": {}},
        {"pattern": "a{" + DIGITS + "}"},
        {"prefixItems": [True], "$ref": "#/prefixItems/" + DIGITS},
    ],
    ids=[
        "recursive", "recursive in two steps", "another document", "nowhere", "anchor", "dynamic", "unevaluated",
        "unknown keyword", "format", "large pattern", "no map", "no schema", "definitions", "long chain", "twofold",
        "tried again", "list as format", "object as format", "long repetition", "long index",
    ],
)  # fmt: skip
def test_what_has_no_bound_is_not_quick(schema: Any) -> None:
    assert cost(schema) is None


@pytest.mark.parametrize(
    ("schema", "reference"),
    [
        ({}, ""),
        (chain(MAX_REFERENCES), ""),
        (chain(MAX_REFERENCES + 2), "#/$defs/0"),
        ({"$ref": "#"}, "#"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "#/$defs/a"),
        ({"properties": {"a": {"$ref": "#"}}}, ""),
        ({"prefixItems": [{"$ref": "#/prefixItems/1"}, {"$ref": "#/prefixItems/0"}]}, "#/prefixItems/0"),
        ({"$defs": {"a/b~c": {"$ref": "#/$defs/a~1b~0c"}}}, "#/$defs/a~1b~0c"),
        ({"prefixItems": [{"$ref": "#/prefixItems/00"}]}, "#/prefixItems/00"),
        ({"prefixItems": [{"$ref": "#/prefixItems/" + DIGITS}]}, ""),
    ],
    ids=["none", "long", "too long", "itself", "two", "recursive", "in a list", "escaped", "zeros", "long index"],
)
def test_a_chain_of_references_without_end_is_found(schema: Any, reference: str) -> None:
    assert looping(schema) == reference

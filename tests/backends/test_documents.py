"""What YAML and JSON files mean to the bundled backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.documents import parse_document
from backends.mistakes import Mistake

YAML, JSON = Path("a.yaml"), Path("a.json")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("2026-01-02", "2026-01-02", id="a date stays text"),
        pytest.param("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", id="a time stays text"),
        pytest.param("on", "on", id="on"),
        pytest.param("NO", "NO", id="a country"),
        pytest.param("1:30", "1:30", id="no sexagesimals"),
        pytest.param("0123", "0123", id="a leading zero stays"),
        pytest.param("0x1F", "0x1F", id="no hexadecimals"),
        pytest.param("1_000", "1_000", id="no underscores"),
        pytest.param("12e4567", "12e4567", id="a short commit"),
        pytest.param(".inf", ".inf", id="infinity is text"),
        pytest.param(".nan", ".nan", id="nan is text"),
        pytest.param("=", "=", id="an equals sign"),
        pytest.param("true", True, id="true"),
        pytest.param("~", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param("-12", -12, id="an integer"),
        pytest.param("1" * 40, int("1" * 40), id="an integer of any size"),
        pytest.param("1.5", 1.5, id="a decimal"),
        pytest.param('"1.10"', "1.10", id="quoted"),
    ],
)
def test_a_plain_scalar_means_what_it_looks_like(text: str, value: Any) -> None:
    document = parse_document(f"a: {text}".encode(), YAML)
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param(JSON, b"[" * 200 + b"]" * 200, id="JSON"),
        pytest.param(YAML, b"[" * 200 + b"]" * 200, id="lists"),
        pytest.param(YAML, b"- " * 199 + b"[]", id="blocks"),
        pytest.param(YAML, b"- &a [[1]]\n- " + b"[" * 197 + b"*a" + b"]" * 197, id="an alias"),
    ],
)
def test_a_document_of_two_hundred_levels_is_good(path: Path, text: bytes) -> None:
    level, value = 0, parse_document(text, path)
    while value and isinstance(value, list):
        level, value = level + 1, value[-1]
    assert level + (value == []) == 200


def test_keys_are_text_and_merges_work() -> None:
    text = b"base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n1: x\ntrue: y\n"
    assert parse_document(text, YAML) == {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}, "1": "x", "true": "y"}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        pytest.param(
            YAML, b"a: 1\nb:\n  c: 1\n  c: 2\n", 'a.yaml: line 4, column 3: the key "c" is there twice', id="twice"
        ),
        pytest.param(YAML, b"v: 1.10", 'line 1, column 4: the number 1.10 would become 1.1; write "1.10"', id="1.10"),
        pytest.param(YAML, b"v: !!timestamp 2026-01-01", "line 1, column 4", id="a tagged date"),
        pytest.param(YAML, b"v: !!binary aGk=", "is nothing that JSON has", id="binary"),
        pytest.param(YAML, b"v: !!set {a, b}", "is nothing that JSON has", id="a set"),
        pytest.param(YAML, b"v: !!float .nan", "line 1, column 4", id="tagged nan"),
        pytest.param(YAML, b"v: !!int 0x1F", "0x1F is no plain decimal number", id="tagged hexadecimals"),
        pytest.param(YAML, b"v: !!python/object:os.system x", "line 1, column 4", id="a Python object"),
        pytest.param(YAML, b"? [a]\n: 1", "a key must be text", id="a list as key"),
        pytest.param(YAML, b"a: [1", "line 2, column 1", id="not closed"),
        pytest.param(YAML, b"a: \xff", "byte 3 is not UTF-8", id="no UTF-8"),
        pytest.param(YAML, b"v: " + b"1" * 5000, "too many digits", id="too many digits"),
        pytest.param(JSON, b'{"a": 1, "a": 2}', 'a.json: the key "a" is there twice', id="JSON twice"),
        pytest.param(JSON, b"[" * 100_000, "a.json: nested deeper than 200 levels", id="deep JSON"),
        pytest.param(
            JSON, b"[" * 201 + b"]" * 201, "a.json: nested deeper than 200 levels", id="JSON a level too deep"
        ),
        # What libyaml's composer does with these ends the process.
        pytest.param(YAML, b"[" * 100_000, "line 1, column 201: nested deeper than 200 levels", id="deep lists"),
        pytest.param(YAML, b"- " * 100_000, "line 1, column 401: nested deeper than 200 levels", id="deep blocks"),
        pytest.param(YAML, b"{a: " * 100_000, "line 1, column 801: nested deeper than 200 levels", id="deep maps"),
        pytest.param(YAML, b"a: &a [[1]]\nb: " + b"[" * 198 + b"*a" + b"]" * 198, "line 2, column 202", id="an alias"),
        pytest.param(YAML, b"a: &a\n- b: *a", "line 2, column 6: nested deeper than 200 levels, or hol", id="a ring"),
        pytest.param(JSON, b'{"a": NaN}', "NaN is nothing that JSON has", id="JSON NaN"),
        pytest.param(JSON, b'{"a": 1\n "b": 2}', "a.json: line 2, column 2", id="JSON comma"),
    ],
)
def test_what_is_no_json_value_is_refused_with_its_place(path: Path, text: bytes, message: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse_document(text, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

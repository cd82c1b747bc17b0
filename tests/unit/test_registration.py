"""What an instance must say of itself to be taken."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core.directory import BackendInfo, Grant
from hub.core.registration import (
    Malformed,
    NotAuthenticated,
    NotGranted,
    NotNow,
    RegistrationError,
    TooMany,
    check_grant,
    check_info,
    is_label,
)


def info(**more: Any) -> BackendInfo:
    return BackendInfo(**{"name": "images", "instance": "one", **more})


@pytest.mark.parametrize(
    ("name", "fits"),
    [("a", True), ("images-2", True), ("a" * 63, True), ("a" * 64, False), ("", False), ("-a", False), ("a-", False),
     ("A", False), ("a.b", False), ("a\n", False), ("ä", False), ("(claims)", False)],
)  # fmt: skip
def test_a_name_is_a_dns_1123_label(name: str, *, fits: bool) -> None:
    assert is_label(name) is fits


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"instance": "x" * 128, "version": "1.2.3 (é)"},
        {"application_sets": ("*",) * 1000},
        {"application_sets": ("a" * 253,)},
        {"input_schema_json": b'{"type":"object"}'},
        {"input_schema_json": b"true"},
        {"max_in_flight": 2**32 - 1},
        {"unique_by": ("name", "k" * 253)},
    ],
    ids=[
        "the least",
        "texts",
        "many patterns",
        "a long pattern",
        "a schema",
        "a boolean schema",
        "a big number",
        "keys",
    ],
)
def test_what_fits_is_taken(fields: dict[str, Any]) -> None:
    check_info(info(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, 'backend.name must be a DNS-1123 label, as in "image-digests"'),
        ({"name": "Images"}, 'backend.name must be a DNS-1123 label, as in "image-digests"'),
        ({"instance": ""}, "backend.instance is empty; it must identify this process"),
        ({"instance": "é" * 65}, "backend.instance must be at most 128 bytes of printable text"),
        ({"instance": "a\nb"}, "backend.instance must be at most 128 bytes of printable text"),
        ({"version": "x" * 129}, "backend.version must be at most 128 bytes of printable text"),
        ({"version": "\x1b[31m"}, "backend.version must be at most 128 bytes of printable text"),
        ({"application_sets": ("a",) * 1001}, "backend.application_sets has more than 1000 patterns"),
        ({"application_sets": ("a", "")}, "backend.application_sets[1] must be 1 to 253 printable characters"),
        ({"application_sets": ("a" * 254,)}, "backend.application_sets[0] must be 1 to 253 printable characters"),
        ({"application_sets": ("a\0",)}, "backend.application_sets[0] must be 1 to 253 printable characters"),
        ({"unique_by": tuple("abcdefghi")}, "backend.unique_by has more than 8 keys"),
        ({"unique_by": ("a", "")}, "backend.unique_by[1] must be 1 to 253 printable characters"),
        ({"unique_by": ("a", "a")}, 'backend.unique_by has the key "a" twice'),
        ({"input_schema_json": b"{"}, "backend.input_schema_json is not JSON"),
        ({"input_schema_json": b'"\xff"'}, "backend.input_schema_json is not JSON"),
        ({"input_schema_json": b"[" * 100_000}, "backend.input_schema_json is nested deeper than 200 levels"),
        ({"input_schema_json": b'{"not":' * 200 + b"{}" + b"}" * 200},
         "backend.input_schema_json is nested deeper than 200 levels"),
        ({"input_schema_json": b"[]"}, "backend.input_schema_json is not a JSON Schema: expected an object"),
        ({"input_schema_json": b" " * (256 * 1024 + 1)}, "backend.input_schema_json has more than 262144 bytes"),
    ],
    ids=[
        "no name", "a name in capitals", "no instance", "a long instance", "an instance of two lines",
        "a long version", "a version with an escape", "too many patterns", "an empty pattern", "a long pattern",
        "a pattern with a control character", "too many keys", "an empty key", "a key twice",
        "a schema that is no JSON", "a schema that is no UTF-8",
        "a deep schema", "a schema one level too deep", "a schema that is a list", "a large schema",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_the_fields_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed) as refused:
        check_info(info(**fields))
    assert str(refused.value) == message


def test_only_a_backend_of_the_configuration_may_register() -> None:
    grant = Grant(backend="images")
    assert check_grant(info(), grant) is grant
    with pytest.raises(NotGranted, match=r'^the hub\'s configuration has no backend "images"$'):
        check_grant(info(), None)


@pytest.mark.parametrize(
    ("error", "code"),
    [(Malformed, "INVALID_ARGUMENT"), (NotGranted, "PERMISSION_DENIED"), (NotAuthenticated, "UNAUTHENTICATED"),
     (TooMany, "RESOURCE_EXHAUSTED"), (NotNow, "UNAVAILABLE")],
)  # fmt: skip
def test_each_refusal_is_a_status_of_the_contract(error: type[RegistrationError], code: str) -> None:
    assert error.code == code

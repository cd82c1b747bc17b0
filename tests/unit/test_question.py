"""From the bytes of a request to a question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import InvalidRequest
from hub.core.question import Question, parse_call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NOT_JSON = 'the body is not JSON; expected {"applicationSetName": "…", "input": {"parameters": {…}}}'

PARAMETERS = st.dictionaries(st.text(), JSON, max_size=5)


def body(name: str = "fb-1", **more: Any) -> bytes:
    return json.dumps({"applicationSetName": name, **more}).encode()


def test_a_call_as_argo_cd_makes_it() -> None:
    call = parse_call(b'{"applicationSetName":"fb-1","input":{"parameters":{"b":1,"a":"x"}}}')
    assert call.application_set_name == "fb-1"
    assert call.application_set_namespace == ""
    assert call.parameters == {"a": "x", "b": 1}
    assert call.input_json == b'{"a":"x","b":1}'


@pytest.mark.parametrize(
    "text",
    [
        b'{"applicationSetName":"fb-1"}',
        b'{"applicationSetName":"fb-1","input":{}}',
        b'{"applicationSetName":"fb-1","input":{"parameters":{}}}',
    ],
    ids=["no input", "no parameters", "empty parameters"],
)
def test_missing_parameters_are_an_empty_object(text: bytes) -> None:
    call = parse_call(text)
    assert (call.parameters, call.input_json) == ({}, b"{}")


def test_fields_that_are_not_known_yet_are_ignored() -> None:
    call = parse_call(
        b'{"applicationSetName":"fb-1","applicationSetNamespace":"team-a","new":[1],"input":{"new":2,"parameters":{}}}'
    )
    assert call.application_set_namespace == "team-a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", NOT_JSON),
        (b"not json", NOT_JSON),
        (b'{"applicationSetName":"a"} x', NOT_JSON),
        (b'{"applicationSetName":"a","input":{"parameters":{"a":NaN}}}', NOT_JSON),
        (b"[]", 'the request\'s body is not as expected: Expected "object", got "array"'),
        (b"null", 'the request\'s body is not as expected: Expected "object", got "null"'),
        (b"{}", 'the request\'s body is not as expected: Object missing required field "applicationSetName"'),
        (
            b'{"applicationSetName":1}',
            'the request\'s body is not as expected: Expected "str", got "int" - at "$.applicationSetName"',
        ),
        (
            b'{"applicationSetName":"a","input":[]}',
            'the request\'s body is not as expected: Expected "object", got "array" - at "$.input"',
        ),
        (
            b'{"applicationSetName":"a","input":{"parameters":"x"}}',
            'the request\'s body is not as expected: Expected "object", got "str" - at "$.input.parameters"',
        ),
        (
            b'{"applicationSetName":"a","input":{"parameters":null}}',
            'the request\'s body is not as expected: Expected "object", got "null" - at "$.input.parameters"',
        ),
        (b'{"applicationSetName":""}', '"applicationSetName" is empty'),
        (b'{"applicationSetName":"' + b"a" * 254 + b'"}', '"applicationSetName" has more than 253 characters'),
        (b'{"applicationSetName":"a b"}', '"applicationSetName" has a character that no name has'),
        (b'{"applicationSetName":"a\\n"}', '"applicationSetName" has a character that no name has'),
        (
            b'{"applicationSetName":"a","applicationSetNamespace":"\\u0000"}',
            '"applicationSetNamespace" has a character that no name has',
        ),
        (b'{"applicationSetName":"\xff"}', "the request's body is not valid UTF-8"),
        (b'{"applicationSetName":"a","input":{"parameters":{"a":"\xed\xa0\x80"}}}',
         "the request's body is not valid UTF-8"),
        (b'{"applicationSetName":"a","input":{"parameters":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}}",
         "the request's body is nested too deeply: limits.max_input_depth is 64"),
        (b'{"x":' + b"[" * 100_000, "the request's body is nested too deeply: limits.max_input_depth is 64"),
    ],
    ids=[
        "nothing", "not JSON", "something after it", "NaN", "a list", "null", "no name", "name of another type",
        "input of another type", "parameters of another type", "parameters null", "empty name", "long name",
        "name with a space", "name with a line break", "namespace with a control character", "not UTF-8",
        "a surrogate", "deep parameters", "deep anything",
    ],
)  # fmt: skip
def test_what_is_not_a_call_is_refused_with_its_reason(text: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_call(text)
    assert str(refused.value) == message


def deep_call(levels: int) -> bytes:
    inside = levels - 3
    return b'{"applicationSetName":"a","input":{"parameters":{"a":' + b"[" * inside + b"]" * inside + b"}}}"


@pytest.mark.parametrize("levels", [67, 201, 500, 990, 2000, 5000, 9000, 20_000])
@pytest.mark.parametrize("after", [b"", b"x"], ids=["whole", "broken"])
def test_a_call_that_is_too_deep_has_one_message(levels: int, after: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_call(deep_call(levels) + after)
    assert str(refused.value) == "the request's body is nested too deeply: limits.max_input_depth is 64"


def test_an_input_may_be_as_deep_as_the_limit_says() -> None:
    assert parse_call(deep_call(66)).input_json.count(b"[") == 63
    assert parse_call(deep_call(10), max_input_depth=8).input_json.count(b"[") == 7
    with pytest.raises(InvalidRequest, match=r"limits\.max_input_depth is 8"):
        parse_call(deep_call(11), max_input_depth=8)


@pytest.mark.parametrize(
    "value", [b"1e999", b'"\\ud800"', b"[" * 900 + b"]" * 900], ids=["infinite", "half a pair", "deep"]
)
def test_what_json_cannot_carry_on_is_a_refusal_and_never_a_crash(value: bytes) -> None:
    text = b'{"applicationSetName":"a","input":{"parameters":{"a":' + value + b"}}}"
    try:
        call = parse_call(text)
    except InvalidRequest:
        return
    assert json.loads(call.input_json) == json.loads(b'{"a":' + value + b"}")


@given(PARAMETERS)
def test_the_canonical_form_says_what_was_said(parameters: dict[str, Any]) -> None:
    call = parse_call(body(input={"parameters": parameters}))
    assert json.loads(call.input_json) == parameters == call.parameters


@given(PARAMETERS, st.randoms())
def test_the_order_of_keys_and_white_space_make_no_difference(parameters: dict[str, Any], random: Any) -> None:
    shuffled = list(parameters.items())
    random.shuffle(shuffled)
    one = parse_call(json.dumps({"applicationSetName": "a", "input": {"parameters": parameters}}, indent=2).encode())
    other = parse_call(body("a", input={"parameters": dict(shuffled)}))
    assert one.input_json == other.input_json


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": True}), ({"a": None}, {}), ({"a": "1"}, {"a": 1})],
)
def test_inputs_that_differ_in_json_are_other_questions(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parse_call(body(input={"parameters": one})).input_json != (
        parse_call(body(input={"parameters": other})).input_json
    )


def test_big_integers_of_the_input_stay_exact() -> None:
    assert parse_call(body(input={"parameters": {"a": 2**80}})).input_json == b'{"a":%d}' % 2**80


def test_a_question_is_equal_only_when_everything_is() -> None:
    fields = {
        "client": "c", "route": "r", "application_set_name": "n", "application_set_namespace": "s", "input_json": b"{}",
    }  # fmt: skip
    assert Question(**fields) == Question(**fields)  # type: ignore[arg-type]  # one of them is bytes.
    for field in fields:
        changed = {**fields, field: b"[]" if field == "input_json" else "other"}
        assert Question(**fields) != Question(**changed)  # type: ignore[arg-type]  # as above.

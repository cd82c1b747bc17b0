"""What makes an answer fit to leave the hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.answer import CheckedAnswer, Limits, check, check_sets, place, shown
from hub.core.errors import AnswerRefused
from hub.core.flattened import leaves
from hub.core.nesting import MAX_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits()
SMALL = Limits(max_bytes=100, max_sets=2, max_depth=3)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3),
    max_leaves=8,
)
SETS = st.lists(st.dictionaries(st.text("ab.", max_size=4), JSON, max_size=4), max_size=4)


def checked(raw: bytes | str, limits: Limits = LIMITS) -> CheckedAnswer:
    return check(raw if isinstance(raw, bytes) else raw.encode(), subject='backend "b"', limits=limits)


def notices(raw: str) -> dict[str, str]:
    return {notice.kind: notice.text for notice in checked(raw).notices}


EXPONENT = "is a number that templates render with an exponent; send it as text"

REFUSALS = {
    "nothing": (b"", 'backend "b" answered with nothing at all; an empty list is "[]"'),
    "white space": (b" \n", 'backend "b" answered with something that is not JSON (input data was truncated)'),
    "text": (
        b"hello",
        'backend "b" answered with something that is not JSON (invalid character (byte 0))',
    ),
    "cut short": (b'[{"a":"b"', 'backend "b" answered with something that is not JSON (input data was truncated)'),
    "two documents": (
        b'[{"a":"b"}] []',
        'backend "b" answered with something that is not JSON (trailing characters (byte 13))',
    ),
    "NaN": (
        b'[{"a":NaN}]',
        'backend "b" answered with something that is not JSON (invalid character (byte 6))',
    ),
    "byte order mark": (
        b"\xef\xbb\xbf[]",
        'backend "b" answered with something that is not JSON (invalid character (byte 0))',
    ),
    "null": (b"null", 'backend "b" answered with null; expected a list of parameter sets'),
    "an object": (b'{"a":"b"}', 'backend "b" answered with an object; expected a list of parameter sets'),
    "a text": (b'"[]"', 'backend "b" answered with a text; expected a list of parameter sets'),
    "a number": (b"1", 'backend "b" answered with a number; expected a list of parameter sets'),
    "a fraction": (b"1.5", 'backend "b" answered with a number; expected a list of parameter sets'),
    "a boolean": (b"true", 'backend "b" answered with a boolean; expected a list of parameter sets'),
    "a null set": (b'[{"a":"b"},null]', 'backend "b": set 2 of 2 is null; expected an object'),
    "a list for a set": (b"[[]]", 'backend "b": set 1 of 1 is a list; expected an object'),
    "a text for a set": (b'["a"]', 'backend "b": set 1 of 1 is a text; expected an object'),
    "a number for a set": (b"[1]", 'backend "b": set 1 of 1 is a number; expected an object'),
    "a boolean for a set": (b"[true]", 'backend "b": set 1 of 1 is a boolean; expected an object'),
    "an empty set": (b'[{"a":"b"},{},{"a":"c"}]', 'backend "b": set 2 of 3 is empty'),
    "an empty set among numbers": (b'[{"a":1},{}]', 'backend "b": set 2 of 2 is empty'),
    "an infinite number": (
        b'[{"a":"b"},{"c":{"d":[1,1e999]}}]',
        'backend "b" answered with a number out of range: set 2 of 2, key "c.d.1"',
    ),
    "minus infinity": (b'[{"a":-1e999}]', 'backend "b" answered with a number out of range: set 1 of 1, key "a"'),
    "an infinite number alone": (b"1e999", 'backend "b" answered with a number out of range'),
    "not UTF-8": (b'[{"a":"\xff"}]', 'backend "b" answered with text that is not valid UTF-8'),
    "a key that is not UTF-8": (b'[{"\xc3(":1}]', 'backend "b" answered with text that is not valid UTF-8'),
    "an encoded surrogate": (b'[{"a":"\xed\xa0\x80"}]', 'backend "b" answered with text that is not valid UTF-8'),
    "too deep to read": (b"[" * 100_000, 'backend "b" answered with JSON that is nested too deeply'),
    "a key twice": (
        b'[{"a":"x"},{"a":"x","a":"x"}]',
        'backend "b": set 2 of 2, key "a" is there twice; which value is meant?',
    ),
    "a key twice inside": (
        b'[{"a":[{"b":1,"c":2,"b":null}]}]',
        'backend "b": set 1 of 1, key "b" is there twice; which value is meant?',
    ),
    "a key twice, once escaped": (
        b'[{"a":1,"\\u0061":2}]',
        'backend "b": set 1 of 1, key "a" is there twice; which value is meant?',
    ),
    "two keys that dots make one": (
        b'[{"a":"x"},{"a":{"b":1},"a.b":2}]',
        'backend "b": set 2 of 2, key "a.b" is there twice once nested keys are joined with dots; rename one',
    ),
    "the same of a list": (
        b'[{"a":["x"],"a.0":"y"}]',
        'backend "b": set 1 of 1, key "a.0" is there twice once nested keys are joined with dots; rename one',
    ),
    "the same deep inside": (
        b'[{"a":{"b.c":"x","b":{"c":"y"}}}]',
        'backend "b": set 1 of 1, key "a.b.c" is there twice once nested keys are joined with dots; rename one',
    ),
    "the same of nulls": (
        b'[{"a":{"b":null},"a.b":null}]',
        'backend "b": set 1 of 1, key "a.b" is there twice once nested keys are joined with dots; rename one',
    ),
}


@pytest.mark.parametrize(("raw", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_argo_cd_would_misread_is_refused_with_its_place(raw: bytes, message: str) -> None:
    with pytest.raises(AnswerRefused) as refused:
        checked(raw)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            '[{"a":"' + "x" * 100 + '"}]',
            (
                'backend "b" answered with 110 bytes, and limits.max_answer_bytes is 100; return fewer '
                "or smaller parameter sets, or raise the limit"
            ),
        ),
        ('[{"a":"x"},{"a":"y"},{"a":"z"}]', 'backend "b" answered with more than 2 parameter sets'),
        ('[{"a":1},{"a":2},{"a":3}]', 'backend "b" answered with more than 2 parameter sets'),
        ("[1,2,3]", 'backend "b" answered with more than 2 parameter sets'),
        ('[{"a":{"b":{"c":{"d":1}}}}]', 'backend "b": set 1 of 1, key "a.b.c" is nested deeper than 3 levels'),
        ('[{"a":[[[1]]]}]', 'backend "b": set 1 of 1, key "a.0.0" is nested deeper than 3 levels'),
    ],
    ids=["bytes", "sets of text", "sets", "sets that are none", "objects", "lists"],
)
def test_an_answer_over_a_limit_is_refused_by_the_limits_name(raw: str, message: str) -> None:
    with pytest.raises(AnswerRefused) as refused:
        checked(raw, SMALL)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "raw",
    ['[{"a":"' + "x" * 90 + '"}]', '[{"a":"x"},{"a":"y"}]', '[{"a":{"b":{"c":1}}}]', '[{"a":[[1]]}]'],
    ids=["bytes", "sets", "objects", "lists"],
)
def test_an_answer_at_its_limit_is_good(raw: str) -> None:
    assert checked(raw, SMALL).sets_json == raw.encode()


def nested(depth: int, inner: bytes = b"1") -> bytes:
    return b'[{"a":' + b"[" * (depth - 1) + inner + b"]" * (depth - 1) + b"}]"


@pytest.mark.parametrize("depth", [33, 60, 200])
def test_a_value_that_is_too_deep_is_refused_with_its_place(depth: int) -> None:
    with pytest.raises(AnswerRefused) as refused:
        checked(nested(depth))
    place = shown(".".join("a" + "0" * 31))
    assert str(refused.value) == f'backend "b": set 1 of 1, key {place} is nested deeper than 32 levels'


# Python 3.11 decodes less than 1,000 levels, 3.12 less than 3,000, 3.13 less than 10,000.
@pytest.mark.parametrize("depth", [201, 500, *range(900, 1000, 7), 2000, 5000, 9000, 20_000])
@pytest.mark.parametrize(
    "answer",
    [
        nested,
        lambda depth: nested(depth, b"1e999"),
        lambda depth: nested(depth)[:-1],
        lambda depth: nested(depth) + b"x",
        lambda depth: b"[{}," + nested(depth)[1:],
        lambda depth: b"[1," + nested(depth)[1:],
        lambda depth: b'[{"a":1e999},' + nested(depth)[1:],
    ],
    ids=["nothing else", "out of range inside", "cut short", "something after it", "an empty set before it",
         "a number before it", "out of range before it"],
)  # fmt: skip
def test_an_answer_deeper_than_any_interpreter_need_read_has_one_message(
    depth: int, answer: Callable[[int], bytes]
) -> None:
    with pytest.raises(AnswerRefused) as refused:
        checked(answer(depth))
    assert str(refused.value) == 'backend "b" answered with JSON that is nested too deeply'


def test_an_answer_at_the_deepest_limit_that_can_be_set_is_good() -> None:
    deepest = Limits(max_depth=MAX_LEVELS)
    raw = nested(MAX_LEVELS)
    assert checked(raw, deepest).sets_json == raw
    with pytest.raises(AnswerRefused, match="nested too deeply"):
        checked(nested(MAX_LEVELS + 1), deepest)
    with pytest.raises(AnswerRefused, match="out of range: set 1 of 1, key"):
        checked(nested(MAX_LEVELS, b"1e999"), deepest)
    with pytest.raises(AnswerRefused, match="once nested keys are joined"):
        checked(nested(MAX_LEVELS)[:-2] + b',"' + b".".join([b"a", *[b"0"] * (MAX_LEVELS - 1)]) + b'":1}]', deepest)


def test_a_long_key_is_cut_in_a_message() -> None:
    with pytest.raises(AnswerRefused) as refused:
        checked('[{"' + "k" * 1000 + '":1e999}]')
    assert str(refused.value).endswith('key "' + "k" * 64 + '…"')


@pytest.mark.parametrize(
    ("raw", "sets_json", "count"),
    [
        ("[]", "[]", 0),
        (" [ ] ", "[]", 0),
        ('[ {"a" : "b"} ]', '[{"a":"b"}]', 1),
        ('[{"b":"1","a":"2"}]', '[{"b":"1","a":"2"}]', 1),
        ('[{"a":"\\u00e9\\/"}]', '[{"a":"é/"}]', 1),
        ('[{"a":1.0,"b":1e2,"c":-0.0}]', '[{"a":1.0,"b":100.0,"c":-0.0}]', 1),
        ('[{"a":-0,"b":"-0","c":"\\"-0"}]', '[{"a":-0.0,"b":"-0","c":"\\"-0"}]', 1),
        ('[{"":""}]', '[{"":""}]', 1),
    ],
    ids=["none", "white space", "inner white space", "order of keys", "escapes", "fractions", "minus zero", "no key"],
)
def test_an_answer_is_written_anew(raw: str, sets_json: str, count: int) -> None:
    answer = checked(raw)
    assert (answer.sets_json.decode(), answer.count, answer.raw.decode()) == (sets_json, count, raw)


def test_what_needed_no_change_is_held_once() -> None:
    tidy, loose = checked('[{"a":"b"}]'), checked('[ {"a":"b"}]')
    assert tidy.raw is tidy.sets_json
    assert loose.size_bytes - tidy.size_bytes == len(loose.raw)


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, -(2**63) - 1, 10**40], ids=str)
def test_integers_of_any_size_stay_exact(number: int) -> None:
    answer = checked(f'[{{"a":{number}}}]')
    assert answer.sets_json == b'[{"a":%d}]' % number


@pytest.mark.parametrize("digits", [310, 5000], ids=["more than a double holds", "more than Python reads"])
def test_an_integer_beyond_every_double_is_refused_or_exact(digits: int) -> None:
    raw = b'[{"a":1' + b"0" * digits + b"}]"
    try:
        assert checked(raw).sets_json == raw
    except AnswerRefused as refused:
        assert "a number out of range" in str(refused)  # noqa: PT017 - either end is right.


@pytest.mark.parametrize(
    ("raw", "kind", "text"),
    [
        (
            '[{"a":999999},{"a":1000000},{"a":-1e6}]',
            "large_number",
            f'set 2 of 3, key "a" {EXPONENT} (2 in this answer)',
        ),
        (
            '[{"a":{"b":[1.5e300]}}]',
            "large_number",
            f'set 1 of 1, key "a.b.0" {EXPONENT} (1 in this answer)',
        ),
        (
            '[{"a":null}]',
            "null_value",
            'set 1 of 1, key "a" is null, which templates render as text of its own (1 in this answer)',
        ),
        (
            '[{"a":{"b":[]}}]',
            "empty_value",
            'set 1 of 1, key "a.b" is an empty list or map, which vanishes without goTemplate (1 in this answer)',
        ),
        (
            '[{"a":{}}]',
            "empty_value",
            'set 1 of 1, key "a" is an empty list or map, which vanishes without goTemplate (1 in this answer)',
        ),
        ('[{"values":"x"}]', "reserved_key", 'set 1 of 1, key "values" is overwritten by Argo CD (1 in this answer)'),
        (
            '[{"generator":{"x":1}}]',
            "reserved_key",
            'set 1 of 1, key "generator" is overwritten by Argo CD (1 in this answer)',
        ),
    ],
    ids=["large", "large inside", "null", "empty list", "empty map", "values", "generator"],
)
def test_what_is_only_risky_becomes_one_notice_with_the_first_place(raw: str, kind: str, text: str) -> None:
    assert notices(raw) == {kind: text}


def test_several_risks_are_several_notices() -> None:
    assert set(notices('[{"a":null,"b":1e9,"c":[],"values":"x"}]')) == {
        "null_value", "large_number", "empty_value", "reserved_key",
    }  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    ['[{"a":"b"}]', '[{"a":999999,"b":-999999.5,"c":true,"d":{"e":["f"]}}]', '[{"a.b":"x","c":"y"}]',
     '[{"a":{"values":"x"}}]', '[{"a.b":1,"a":{"c":2}}]', '[{"a":{"b":{}},"a.b":"x"}]'],
    ids=["text", "small values", "dots alone", "values inside", "dots that do not meet", "an empty map vanishes"],
)  # fmt: skip
def test_what_is_harmless_is_sent(raw: str) -> None:
    assert "large_number" not in notices(raw)
    assert "null_value" not in notices(raw)
    assert "reserved_key" not in notices(raw)
    assert checked(raw).sets_json == raw.encode()


def test_no_notice_shows_a_value() -> None:
    assert "hunter2" not in str(notices('[{"values":"hunter2","n":1000042,"x":null}]'))
    assert "1000042" not in str(notices('[{"values":"hunter2","n":1000042,"x":null}]'))


def test_the_backends_digest_is_kept() -> None:
    assert check(b"[]", subject="s", limits=LIMITS, digest="d1").digest == "d1"


@given(SETS)
def test_whatever_passes_says_exactly_what_the_backend_said(sets: list[dict[str, Any]]) -> None:
    raw = json.dumps(sets).encode()
    try:
        answer = checked(raw)
    except AnswerRefused:
        return
    assert json.loads(answer.sets_json) == sets
    assert repr(json.loads(answer.sets_json)) == repr(sets)
    assert answer.count == len(sets)


KEYS = st.text(max_size=6) | st.text('":\\,{}[] \n', max_size=6)
TRICKY = st.dictionaries(KEYS, st.lists(KEYS, max_size=2) | KEYS, min_size=1, max_size=3)


@given(sets=st.lists(TRICKY, max_size=3), indent=st.sampled_from([None, 0, 2]), ensure_ascii=st.booleans())
def test_however_it_is_written_no_key_is_taken_for_two(
    sets: list[dict[str, Any]], indent: int | None, *, ensure_ascii: bool
) -> None:
    raw = json.dumps(sets, indent=indent, ensure_ascii=ensure_ascii).encode()
    try:
        answer = checked(raw)
    except AnswerRefused as refused:
        assert "joined with dots" in str(refused)  # noqa: PT017 - a collision is another matter.
    else:
        assert json.loads(answer.sets_json) == sets


@given(st.binary(max_size=40) | st.text('[]{}":,.0123456789eE-+ anultrfse\\', max_size=40).map(str.encode))
def test_bytes_of_any_kind_are_checked_or_refused_in_one_line(raw: bytes) -> None:
    try:
        answer = checked(raw)
    except AnswerRefused as refused:
        assert "\n" not in str(refused)  # noqa: PT017 - either end is right.
    else:
        assert json.loads(answer.sets_json) == json.loads(raw)
        assert all(json.loads(answer.sets_json))


@given(SETS)
def test_flattening_with_dots_loses_nothing_of_what_passes(sets: list[dict[str, Any]]) -> None:
    try:
        checked(json.dumps(sets))
    except AnswerRefused:
        return
    for one in sets:
        paths = [path for path, _ in leaves(one)]
        assert len(paths) == len(set(paths))


def test_what_the_hub_put_together_is_checked_too() -> None:
    check_sets([{"a": "b"}], subject='route "r"', limits=SMALL)
    with pytest.raises(AnswerRefused, match=r'^route "r": set 1 of 1, key "a.b" is there twice'):
        check_sets([{"a": {"b": 1}, "a.b": 2}], subject='route "r"', limits=SMALL)
    with pytest.raises(AnswerRefused, match=r'^route "r" .*more than 2 parameter sets$'):
        check_sets([{"a": 1}] * 3, subject='route "r"', limits=SMALL)


def test_a_place_counts_from_one() -> None:
    assert place(0, 3) == "set 1 of 3"
    assert place(2, 3, "a.b") == 'set 3 of 3, key "a.b"'
    assert shown("x" * 64) == '"' + "x" * 64 + '"'

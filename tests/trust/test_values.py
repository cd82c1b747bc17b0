"""Numbers, nulls and empties on their way through a hub, as Argo CD's two kinds of templates write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.trust import templates
from tests.trust.stub import says

if TYPE_CHECKING:
    from tests.trust.bench import Bench
    from tests.trust.wire import Reply

GONE = "(not there)"

# What a backend writes; what both kinds of templates write for it, with numbers exact and with numbers as text.
RENDERED: list[tuple[str, tuple[str, str], tuple[str, str]]] = [
    ("0", ("0", "0"), ("0", "0")),
    ("999999", ("999999", "999999"), ("999999", "999999")),
    ("1000000", ("1e+06", "1e+06"), ("1000000", "1000000")),
    ("1234567", ("1.234567e+06", "1.234567e+06"), ("1234567", "1234567")),
    ("-1234567", ("-1.234567e+06", "-1.234567e+06"), ("-1234567", "-1234567")),
    ("9007199254740993", ("9.007199254740992e+15", "9.007199254740992e+15"), ("9007199254740993",) * 2),
    ("18446744073709551616", ("1.8446744073709552e+19",) * 2, ("18446744073709551616",) * 2),
    (
        "123456789012345678901234567890",
        ("1.2345678901234568e+29", "1.2345678901234568e+29"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ),
    ("1.0", ("1", "1"), ("1", "1")),
    ("0.1", ("0.1", "0.1"), ("0.1", "0.1")),
    ("1234567.5", ("1.2345675e+06",) * 2, ("1.2345675e+06",) * 2),
    ("1e21", ("1e+21", "1e+21"), ("1e+21", "1e+21")),
    ("-0", ("-0", "-0"), ("-0", "-0")),
    ("-0.0", ("-0", "-0"), ("-0", "-0")),
    ("true", ("true", "true"), ("true", "true")),
    ("null", ("<no value>", "<nil>"), ("<no value>", "<nil>")),
    ('""', ("", ""), ("", "")),
    ('"0012"', ("0012", "0012"), ("0012", "0012")),
    ("[]", ("[]", GONE), ("[]", GONE)),
    ("{}", ("map[]", GONE), ("map[]", GONE)),
]


def rendered(reply: Reply, path: str) -> tuple[str, str]:
    (one,) = reply.verdict.sets
    without = templates.without(one).get(path, [GONE])
    assert len(without) == 1
    return templates.with_go_template(one).get(path, GONE), without[0]


@pytest.mark.parametrize("numbers", ["exact", "text"])
@pytest.mark.parametrize(("written", "exact", "text"), RENDERED, ids=[row[0] for row in RENDERED])
async def test_a_value_is_written_so(
    bench: Bench, numbers: str, written: str, exact: tuple[str, str], text: tuple[str, str]
) -> None:
    await bench.open(route={"numbers": numbers})
    reply = await bench.ask(says(b'[{"k":"x","a":%s}]' % written.encode()))
    assert rendered(reply, "a") == (exact if numbers == "exact" else text)
    assert rendered(reply, "k") == ("x", "x")


@pytest.mark.parametrize(
    ("numbers", "path", "with_go", "without"),
    [
        ("exact", "a.n", "1.234567e+06", "1.234567e+06"),
        ("exact", "a.b.c", "x", "x"),
        ("exact", "l", "[1.234567e+06 [map[n:1e+06]] <nil>]", GONE),
        ("exact", "l.1.0.n", GONE, "1e+06"),
        ("exact", "l.2", GONE, "<nil>"),
        ("text", "a.n", "1234567", "1234567"),
        ("text", "l", "[1234567 [map[n:1000000]] <nil>]", GONE),
        ("text", "l.0", GONE, "1234567"),
        ("text", "l.1.0.n", GONE, "1000000"),
    ],
)
async def test_a_nested_value_is_written_so(bench: Bench, numbers: str, path: str, with_go: str, without: str) -> None:
    await bench.open(route={"numbers": numbers})
    body = b'[{"a":{"b":{"c":"x"},"n":1234567},"l":[1234567,[{"n":1000000}],null]}]'
    assert rendered(await bench.ask(says(body)), path) == (with_go, without)


@pytest.mark.parametrize(
    ("nulls", "body", "sets"),
    [
        ("keep", b'[{"a":null,"k":"x"}]', [{"a": None, "k": "x"}]),
        ("drop", b'[{"a":null,"k":"x"}]', [{"k": "x"}]),
        ("drop", b'[{"a":{"b":null,"c":1}}]', [{"a": {"c": 1}}]),
        ("drop", b'[{"a":null}]', None),
        ("drop", b'[{"a":[null]}]', None),
        ("refuse", b'[{"a":{"b":null}}]', None),
        ("refuse", b'[{"a":[{"b":null}]}]', None),
        ("refuse", b'[{"a":""}]', [{"a": ""}]),
    ],
)
async def test_nulls_are_kept_dropped_or_refused(bench: Bench, nulls: str, body: bytes, sets: Any) -> None:
    await bench.open(route={"nulls": nulls})
    reply = await bench.ask(says(body))
    if sets is None:
        assert reply.reason == "answer_refused"
    else:
        assert reply.sets == sets


async def test_integers_leave_digit_by_digit_as_they_came(bench: Bench) -> None:
    await bench.open()
    written = b'[{"a":123456789012345678901234567890,"b":-98765432109876543210987654321,"c":9007199254740993}]'
    assert (await bench.ask(says(written))).body == b'{"output":{"parameters":' + written + b"}}"


async def test_inputs_are_copied_into_each_set_and_count_as_values(bench: Bench) -> None:
    await bench.open(route={"echo": ["team", "size"], "numbers": "text"})
    reply = await bench.ask(says(b'[{"a":1},{"a":2,"team":"red"}]'), team="red", size=1234567)
    assert reply.sets == [
        {"a": "1", "team": "red", "size": "1234567"},
        {"a": "2", "team": "red", "size": "1234567"},
    ]
    assert (await bench.ask(says(b'[{"a":1,"team":"blue"}]'), team="red", size=1)).reason == "answer_refused"
    assert (await bench.ask(says(b'[{"a":1}]'), team="red")).reason == "input_refused"


async def test_two_values_with_one_dotted_name_never_leave(bench: Bench) -> None:
    await bench.open(route={"echo": ["a"]})
    for body in (b'[{"a":{"b":"1"},"a.b":"2"}]', b'[{"a.b":"2"}]', b'[{"x":["1"],"x.0":"2"}]'):
        assert (await bench.ask(says(body), a={"b": "1"})).reason == "answer_refused"


LARGEST = 2**1024 - 2**970 - 1  # One more rounds to a number that a float of 64 bits does not have.


@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 1, 10**400], ids=["just", "negative", "far"])
async def test_an_integer_that_argo_cd_cannot_read_is_refused_unless_it_leaves_as_text(
    bench: Bench, number: int
) -> None:
    await bench.open(route={"numbers": "exact"})
    reply = await bench.ask(says(b'[{"a":"x"},{"b":[%d]}]' % number))
    assert (reply.status, reply.reason) == (502, "answer_refused")
    assert 'backend "b": set 2 of 2, key "b.0" is an integer too large for Argo CD' in reply.message


async def test_the_largest_integer_that_argo_cd_can_read_is_sent(bench: Bench) -> None:
    await bench.open()
    assert (await bench.ask(says(b'[{"a":%d}]' % LARGEST))).sets == [{"a": LARGEST}]


async def test_an_integer_of_any_size_leaves_as_text(bench: Bench) -> None:
    await bench.open(route={"numbers": "text"})
    assert (await bench.ask(says(b'[{"a":%d}]' % 10**400))).sets == [{"a": str(10**400)}]


async def test_an_input_that_argo_cd_could_not_read_back_is_not_copied_into_a_set(bench: Bench) -> None:
    await bench.open(route={"echo": ["size"]})
    assert (await bench.ask(says(b'[{"a":"x"}]'), size=10**400)).reason == "answer_refused"

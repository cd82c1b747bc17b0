"""Four times the input takes about four times as long, wherever input enters."""

from __future__ import annotations

import gc
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from appset_hub import BrokenAnswer
from appset_hub.v1 import registry_pb2

from backends.documents import parse_document
from backends.http_plugin.envelope import parse_sets, what_it_says
from backends.mistakes import Mistake
from hub.config.document import BadDocument, parse
from hub.core.answer import CheckedAnswer, Limits, check
from hub.core.combine import Merge, Recipe, combine
from hub.core.errors import HubError
from hub.core.guard import shown_input
from hub.core.question import parse_call
from hub.core.registration import RegistrationError, check_info
from hub.core.values import ValueRules
from hub.http import reply
from hub.rpc import codec
from hub.telemetry.logs import logger

MAX_GROWTH = 6.0  # Of four times the input: linear work takes four times as long, quadratic work sixteen times.
LEAST_S = 0.1  # Less is noise, whatever its growth: quadratic work of these sizes takes seconds.
MAX_ATTEMPTS = 25
LIMITS = Limits(max_bytes=1 << 30, max_sets=1 << 30)

Call = Callable[[], object]
"""What is timed: an entry point with its input."""

EXPECTED = (HubError, RegistrationError, BrokenAnswer, Mistake, BadDocument)


def request(size: int, shape: str) -> Call:
    made: dict[str, Callable[[], Any]] = {
        "one key": lambda: {"k" * 50 * size: 1},
        "many keys": lambda: {f"key {number}": number for number in range(size)},
        "a text": lambda: {"a": "\\\n" * 20 * size},
        "a list": lambda: {"a": [[number] for number in range(size)]},
        "quotes": lambda: {"a": '"' * 30 * size},
    }
    body = json.dumps({"applicationSetName": "a", "input": {"parameters": made[shape]()}}).encode()
    return lambda: shown_input(parse_call(body).parameters)


def refused_request(size: int, shape: str) -> Call:
    body = {
        "a name": lambda: b'{"applicationSetName":"' + b"n\\n" * 30 * size + b'"}',
        "brackets": lambda: b"[" * 100 * size,
        "a wrong type": lambda: b'{"applicationSetName":"a","input":{"parameters":{"' + b"k" * 50 * size + b'":1},"x":',
    }[shape]()
    return lambda: parse_call(body)


def answered(size: int, shape: str) -> bytes:
    made: dict[str, Callable[[], Any]] = {
        "sets": lambda: [{"a": str(number)} for number in range(size)],
        "numbers": lambda: [{"a": number * 1_000_000} for number in range(size)],
        "keys": lambda: [{f"key {number}": "v" for number in range(size)}],
        "below a long key": lambda: [{"k" * 20 * size: {str(number): None for number in range(size)}}],
        "below a long key, dotted": lambda: [{"k." * 10 * size: {str(number): "v" for number in range(size)}}],
        "below a long key, in a list": lambda: [{"k" * 20 * size: list(range(10**6, 10**6 + size))}],
        "lists": lambda: [{"a": [[number, {}] for number in range(size)]}],
        "backslashes": lambda: [{"a": '\\"' * 20 * size}],
        "minus zeros": lambda: [{"a": [-0.0] * size, "b": "-0" * size}],
    }
    return json.dumps(made[shape]()).replace("-0.0", "-0").encode()


def checked(raw: bytes) -> CheckedAnswer:
    return check(raw, subject='backend "b"', limits=LIMITS, identify=True)


def answer(size: int, shape: str) -> Call:
    raw = answered(size, shape)
    return lambda: checked(raw)


def rewritten_answer(size: int, shape: str) -> Call:
    recipe = Recipe(route="r", values=ValueRules(numbers="text", nulls="drop"), identify=True)
    members = [("b", checked(answered(size, shape)))]
    return lambda: combine(members, recipe, {}, LIMITS)


def merged_answer(size: int, shape: str) -> Call:
    one = checked(answered(size, shape))
    recipe = Recipe(route="r", combine=Merge(on=("a",)), identify=True)
    return lambda: combine([("a", one), ("b", one)], recipe, {}, LIMITS)


def refused_answer(size: int, shape: str) -> Call:
    raw = {
        "a key twice": lambda: b'[{"a":1},{' + b",".join(b'"%d":1' % (one // 2) for one in range(size)) + b"}]",
        "cut": lambda: answered(size, "sets")[:-2],
        "not UTF-8": lambda: b'[{"a":"' + b"x" * 50 * size + b'\xff"}]',
        "infinity below a long key": lambda: b'[{"' + b"k" * 20 * size + b'":[' + b"1," * size + b"1e999]}]",
        "two names alike": lambda: json.dumps([{"a": {str(n): 1 for n in range(size)}, f"a.{size - 1}": 1}]).encode(),
        "brackets": lambda: b"[" * 100 * size,
        "digits": lambda: b'[{"a":' + b"9" * 50 * size + b"}]",
    }[shape]()
    return lambda: checked(raw)


def plugin_answer(size: int, shape: str) -> Call:
    body = {
        "keys": lambda: b'{"output":{"parameters":[{' + b",".join(b'"%d":1' % n for n in range(size)) + b"}]}}",
        "a key twice": lambda: b"{" + b",".join(b'"%d":1' % min(n, size - 2) for n in range(size)) + b"}",
        "spellings": lambda: b"{" + b",".join(b'"output%d":1' % n for n in range(size)) + b"}",
        "digits": lambda: b'{"output":{"parameters":[{"a":' + b"9" * 50 * size + b"}]}}",
        "a message": lambda: b'{"message":"' + b"secret\\n" * 10 * size + b'"}',
    }[shape]()
    return lambda: (what_it_says(body, "secret"), parse_sets(body))


def plugin_file(size: int, shape: str) -> Call:
    content = {
        "a key twice": lambda: b"{" + b",".join(b'"%d":1' % min(n, size - 2) for n in range(size)) + b"}",
        "keys": lambda: b"{" + b",".join(b'"%d": 1\n' % n for n in range(size)) + b"}",
    }[shape]()
    return lambda: parse_document(content, Path("sets.json"))


def configuration(size: int, shape: str) -> Call:
    text = {
        "keys": lambda: "".join(f"key{number}: 1\n" for number in range(size)),
        "a long key": lambda: "k" * 50 * size + ": 1\n",
        "a wrong number": lambda: "a: " + "1" * 50 * size + "\n",
    }[shape]()
    return lambda: parse(text)


def registration(size: int, shape: str) -> Call:
    said = registry_pb2.BackendInfo(name="b", instance="i")
    match shape:
        case "a name":
            said.name = "\n" * 50 * size
        case "a version":
            said.version = "\n" * 50 * size
        case "patterns":
            said.application_sets.extend(["*"] * size)
        case "keys":
            said.unique_by.extend(str(number) for number in range(size))
        case "a schema":
            said.input_schema_json = b"[" * 50 * size
    return lambda: check_info(codec.info(said))


def message(size: int, shape: str) -> Call:
    text = {"a text": "x" * 100, "line breaks": "\n" * 100, "quotes": '"\\' * 50}[shape] * size
    logs = [logger(format_, "info", io.StringIO()) for format_ in ("json", "human")]

    def write() -> None:
        reply.refusal_body(text, "answer_refused")
        codec.one_line(text, 300)
        for log in logs:
            log.info("event", text=text, more=[text])

    return write


SHAPES: dict[Callable[[int, str], Call], tuple[int, tuple[str, ...]]] = {
    request: (20_000, ("one key", "many keys", "a text", "a list", "quotes")),
    refused_request: (20_000, ("a name", "brackets", "a wrong type")),
    answer: (
        10_000,
        (
            "sets", "numbers", "keys", "below a long key", "below a long key, dotted", "below a long key, in a list",
            "lists", "backslashes", "minus zeros",
        ),
    ),
    rewritten_answer: (5_000, ("sets", "numbers", "keys", "below a long key", "below a long key, in a list", "lists")),
    merged_answer: (5_000, ("sets",)),
    refused_answer: (
        10_000,
        (
            "a key twice", "cut", "not UTF-8", "infinity below a long key", "two names alike", "brackets", "digits",
        ),
    ),
    plugin_answer: (10_000, ("keys", "a key twice", "spellings", "digits", "a message")),
    plugin_file: (5_000, ("a key twice", "keys")),
    configuration: (2_000, ("keys", "a long key", "a wrong number")),
    registration: (20_000, ("a name", "a version", "patterns", "keys", "a schema")),
    message: (5_000, ("a text", "line breaks", "quotes")),
}  # fmt: skip


def seconds_of(call: Call) -> float:
    gc.disable()  # As timeit does: when it runs depends on what ran before.
    try:
        started_s = time.process_time()
        with suppress(*EXPECTED):
            call()
        return time.process_time() - started_s
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("entry", "size", "shape"),
    [
        pytest.param(entry, size, shape, id=f"{entry.__name__}: {shape}")
        for entry, (size, shapes) in SHAPES.items()
        for shape in shapes
    ],
)
def test_four_times_the_input_takes_less_than_six_times_as_long(
    entry: Callable[[int, str], Call], size: int, shape: str
) -> None:
    small, large = entry(size, shape), entry(4 * size, shape)
    # The least of several, in turn: a busy machine can make any one of them longer, and none shorter.
    small_s = large_s = float("inf")
    for _ in range(MAX_ATTEMPTS):
        small_s = min(small_s, seconds_of(small))
        large_s = min(large_s, seconds_of(large))
        if large_s <= max(LEAST_S, MAX_GROWTH * small_s):
            return
    pytest.fail(f"{size}: {small_s:.4f} s, {4 * size}: {large_s:.4f} s")

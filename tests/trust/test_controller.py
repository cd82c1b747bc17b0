"""The model of the controller agrees with what the real one was seen to do."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.trust import templates
from tests.trust.controller import decide

HERE = Path(__file__).parent
SEEN = json.loads((HERE / "data" / "verdicts.json").read_text())["cases"]
RECORDING = HERE.parent / "argocd" / "testdata" / "verdicts.json"
RECORDED: list[dict[str, Any]] = json.loads(RECORDING.read_text())["cases"] if RECORDING.exists() else []

LONGEST = 200  # Of one rendered text in the recording.


def raw_of(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def count_of(raw: bytes) -> int | None:
    verdict = decide(raw)
    return None if verdict.is_error else verdict.count


def shortened(text: str) -> str:
    raw = text.encode()
    if len(raw) <= LONGEST:
        return text
    return f"{raw[:LONGEST].decode(errors='ignore')}… ({len(raw)} bytes)"


@pytest.mark.parametrize(("packed", "count"), [pytest.param(*rest, id=name) for name, *rest in SEEN])
def test_it_agrees_with_each_answer_that_was_seen(packed: str, count: int | None) -> None:
    assert count_of(raw_of(packed)) == count


def test_all_77_are_here_and_24_of_them_decode_to_nothing() -> None:
    assert len(SEEN) == 77
    assert sum(count == 0 for _, _, count in SEEN) == 24


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in RECORDED])
def test_it_agrees_with_the_recording_of_the_real_controller(case: dict[str, Any]) -> None:
    assert count_of(base64.b64decode(case["response_base64"])) == case.get("count")


@pytest.fixture
def deep() -> Any:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(40_000)  # One recorded value has nine thousand levels.
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in RECORDED if "go_template" in case])
def test_it_renders_as_the_recording_does(case: dict[str, Any]) -> None:
    sets = decide(base64.b64decode(case["response_base64"])).sets
    with_go = [templates.with_go_template(_visible(one)) for one in sets]
    without = [templates.without(_visible(one)) for one in sets]
    assert [{path: shortened(text) for path, text in one.items()} for one in with_go] == case["go_template"]
    for possible, seen in zip(without, case["fasttemplate"], strict=True):
        assert possible.keys() == seen.keys()
        for path, text in seen.items():
            assert text in [shortened(one) for one in possible[path]]


def _visible(one: dict[str, Any] | None) -> dict[str, Any]:
    # Argo CD writes its own "generator" over whatever is there.
    return {key: value for key, value in (one or {}).items() if key != "generator"}


GOOD = b'{"output":{"parameters":[{"a":"x"},{"a":"y"}]}}'


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        pytest.param(response(GOOD, b"Content-Length: 47", b"Content-Length: 47"), 2, id="one length said twice"),
        pytest.param(response(GOOD, b"content-length:47"), 2, id="names of headers in any case"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 47\n\n" + GOOD, 2, id="bare line feeds"),
        pytest.param(response(GOOD, b"Content-Length: x"), None, id="a length that is none"),
        pytest.param(response(GOOD, b"Transfer-Encoding: gzip"), None, id="a transfer encoding that is not known"),
        pytest.param(response(b"2\r\n{}\r\n0\r\n", b"Transfer-Encoding: chunked"), 0, id="cut in the trailer, object"),
        pytest.param(response(b"0\r\n", b"Transfer-Encoding: chunked"), None, id="cut in the trailer, nothing"),
        pytest.param(response(b"zz\r\n", b"Transfer-Encoding: chunked"), None, id="a chunk without a size"),
        pytest.param(response(b"null", b"Content-Length: 9"), None, id="a word that may go on"),
        pytest.param(response(b"nullx", b"Content-Length: 5"), 0, id="a word and what is no more part of it"),
        pytest.param(response(b"12", b"Content-Length: 2"), None, id="a number"),
        pytest.param(response(b'{"Output":{"parameterS":[{"a":1}]}}'), 1, id="any case"),
        pytest.param(response(b'{"output":{"parameter\xc5\xbf":[{"a":1}]}}'), 1, id="a long s"),
        pytest.param(response(b'{"output":{"parameters":[{"a":1},]}}'), None, id="a trailing comma"),
        pytest.param(response(b'{"output":{"parameters":[{"a":01}]}}'), None, id="a leading zero"),
        pytest.param(response(b'{"more":1e999,"output":{"parameters":[{"a":1}]}}'), 1, id="out of range, unread"),
        pytest.param(response(b"", status=b"301 Moved"), None, id="moved nowhere"),
        pytest.param(response(b"", b"Location: /", status=b"302 Found"), None, id="moved"),
        pytest.param(response(b"", status=b"101 Switching Protocols"), None, id="another protocol"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 6 + response(GOOD), None, id="too many interim responses"),
        pytest.param(b"", None, id="nothing at all"),
    ],
)
def test_what_was_not_recorded_follows_go(raw: bytes, count: int | None) -> None:
    assert count_of(raw) == count


def test_a_repeated_list_is_decoded_into_the_one_before() -> None:
    lists = (b'[{"a":1},{"b":2}]', b'[{"c":3}]', b"[{},{}]")
    body = b"{" + b",".join(b'"output":{"parameters":%s}' % one for one in lists) + b"}"
    assert decide(response(body)).sets == ({"a": 1.0, "c": 3.0}, {"b": 2.0})


def test_two_halves_of_a_character_are_one() -> None:
    body = rb'{"output":{"parameters":[{"a":"\ud83d\ude00\udc00\ud83d"}]}}'
    assert decide(response(body)).sets == ({"a": "😀��"},)


def test_a_depth_of_ten_thousand_is_read_and_one_more_is_not() -> None:
    def nested(levels: int) -> bytes:
        return b'{"output":{"parameters":[{"a":' + b"[" * levels + b"]" * levels + b"}]}}"

    assert count_of(response(nested(9_996))) == 1
    assert count_of(response(nested(9_997))) is None

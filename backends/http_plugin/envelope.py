"""From the bytes of a plugin's answer to its parameter sets, or to why they are none.

Pure. Argo CD takes much for an empty answer, and deletes (an empty body, `null`, another envelope, a key that comes
twice); here only one shape counts: an object whose `output` is an object whose `parameters` is a list of objects.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any, NoReturn

from appset_hub import BrokenAnswer

from backends.nesting import MAX_LEVELS, is_deeper

_LONGEST_QUOTE = 200
_ENVELOPE_LEVELS = 3  # Around a parameter set: an object, "output" and "parameters".
_GZIP = 16 + zlib.MAX_WBITS


def decompress(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return the body as it was before `encoding`, the value of Content-Encoding.

    Raises:
        BrokenAnswer: it is incomplete, followed by something else, longer than `limit_bytes`, or encoded otherwise.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise BrokenAnswer("the plugin's answer has a Content-Encoding that is not gzip")
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise BrokenAnswer("the plugin's answer says that it is gzip, but is not") from error
    if len(plain) > limit_bytes:
        raise too_long(limit_bytes)
    if not unpacking.eof:
        raise BrokenAnswer("the plugin's answer is gzip that was cut short")
    if unpacking.unused_data:
        raise BrokenAnswer("the plugin's answer is gzip with something after its end")
    return plain


def parse_sets(body: bytes) -> list[dict[str, Any]]:
    """Return the parameter sets in the body; integers are exact, whatever their size.

    Raises:
        BrokenAnswer: it is anything but one complete document of the one shape that counts.
    """
    try:
        envelope = _parse(body)
        sets = _sets_of(envelope)
        # How deep the sets are is checked when they leave. What is beside them must not decide on one interpreter only.
        is_alone = len(envelope) == 1 and len(envelope["output"]) == 1
    except (BrokenAnswer, RecursionError):
        # Counted only now, so that a good answer does not pay for it.
        _check_levels(body)
        raise
    if not is_alone:
        _check_levels(body)
    return sets


def _check_levels(body: bytes) -> None:
    if is_deeper(body, _ENVELOPE_LEVELS + MAX_LEVELS):
        raise BrokenAnswer("the plugin's answer is nested too deeply")


def _sets_of(envelope: Any) -> list[dict[str, Any]]:
    if not isinstance(envelope, dict):
        raise BrokenAnswer(f'the plugin\'s answer is {_kind(envelope)}; it must be {{"output": {{"parameters": […]}}}}')
    if any(envelope.get(key) for key in ("error", "errors")):
        raise BrokenAnswer('the plugin\'s answer holds an "error", although its status is 200')
    output = _only(envelope, "output", "the plugin's answer")
    if not isinstance(output, dict):
        raise BrokenAnswer(f'"output" of the plugin\'s answer is {_kind(output)}; it must be an object')
    sets = _only(output, "parameters", '"output" of the plugin\'s answer')
    if not isinstance(sets, list):
        raise BrokenAnswer(f'"output.parameters" of the plugin\'s answer is {_kind(sets)}; it must be a list')
    for index, one in enumerate(sets):
        if not isinstance(one, dict) or not one:
            found = "empty" if one == {} else _kind(one)
            raise BrokenAnswer(f"output.parameters[{index}] is {found}; a parameter set must be an object with a key")
    return sets


def what_it_says(body: bytes, secret: str) -> str:
    """Return what the plugin says of its error, as Argo CD shows it, in one short line without `secret`; or nothing."""
    if is_deeper(body):
        return ""
    try:
        said = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    texts = (said.get(key) for key in ("message", "error"))
    text = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    line = " ".join(text.replace(secret, "***").split())
    return "".join(character for character in line if character.isprintable())[:_LONGEST_QUOTE]


def too_long(limit_bytes: int) -> BrokenAnswer:
    """Return the error of an answer that is longer than `limit_bytes`."""
    return BrokenAnswer(
        f"the plugin's answer has more than {limit_bytes} bytes; raise max_answer_bytes, or ask for less"
    )


def _parse(body: bytes) -> Any:
    if not body.strip():
        raise BrokenAnswer("the plugin's answer is empty; Argo CD would have taken it for no parameter sets")
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise BrokenAnswer("the plugin's answer is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise BrokenAnswer("the plugin's answer is not one complete JSON document") from error
    except ValueError as error:
        # Of Python's own: an integer with thousands of digits.
        raise BrokenAnswer("the plugin's answer holds a number with too many digits") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BrokenAnswer(f"the plugin's answer has the key {_quoted(twice)} twice in one object")
    return result


def _only(value: dict[str, Any], name: str, place: str) -> Any:
    """Return what is under `name`. Argo CD also takes other spellings for it, so there must be none beside it."""
    spellings = [key for key in value if key.casefold() == name]
    if not spellings:
        raise BrokenAnswer(f'{place} has no "{name}"')
    if spellings != [name]:
        other = next(key for key in spellings if key != name)
        raise BrokenAnswer(f'{place} has the key {_quoted(other)}; it must be "{name}", once')
    return value[name]


def _no_constant(name: str) -> NoReturn:
    raise BrokenAnswer(f"the plugin's answer holds {name}, which JSON does not have")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BrokenAnswer("the plugin's answer holds a number that is too large for Argo CD")
    return number


def _quoted(key: str) -> str:
    return json.dumps(key[:40])


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")

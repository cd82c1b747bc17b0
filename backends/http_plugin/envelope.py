"""From the bytes of a plugin's answer to its parameter sets, or to why they are none.

Pure. Argo CD takes much for an empty answer, and deletes (an empty body, `null`, another envelope, a key that comes
twice); here only one shape counts: an object whose `output` is an object whose `parameters` is a list of objects. In
these two names letter case does not matter, as in Argo CD's decoder.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any, NoReturn

from appset_hub import BrokenAnswer

from backends.nesting import MAX_LEVELS, is_deeper
from backends.pairs import first_repeated

_LONGEST_QUOTE = 200
_ENVELOPE_LEVELS = 3  # Around a parameter set: an object, "output" and "parameters".
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Empties:
    """What a plugin may send for "no parameter sets", beside an empty list. Each is a setting `accept_…`."""

    null_parameters: bool = False
    missing_parameters: bool = False
    null_output: bool = False
    missing_output: bool = False


LIST_ONLY = Empties()
"""What counts by default."""


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


def parse_sets(body: bytes, empties: Empties = LIST_ONLY) -> list[dict[str, Any]]:
    """Return the parameter sets in the body; integers are exact, whatever their size.

    Raises:
        BrokenAnswer: it is anything but one complete document of the one shape that counts, or of those in `empties`.
    """
    try:
        envelope = _parse(body)
        sets = _sets_of(envelope, empties)
    except (BrokenAnswer, RecursionError):
        # Counted only now, so that a good answer does not pay for it.
        _check_levels(body)
        raise
    # How deep the sets are is checked when they leave. What is beside them must not decide on one interpreter only.
    if not _is_alone(envelope):
        _check_levels(body)
    return sets


def _is_alone(envelope: dict[str, Any]) -> bool:
    """Whether there is nothing beside the sets."""
    output = next(iter(envelope.values()), None)
    return len(envelope) == 1 and isinstance(output, dict) and len(output) == 1


def _check_levels(body: bytes) -> None:
    if is_deeper(body, _ENVELOPE_LEVELS + MAX_LEVELS):
        raise BrokenAnswer("the plugin's answer is nested too deeply")


def _sets_of(envelope: Any, empties: Empties) -> list[dict[str, Any]]:
    if not isinstance(envelope, dict):
        raise BrokenAnswer(f'the plugin\'s answer is {_kind(envelope)}; it must be {{"output": {{"parameters": […]}}}}')
    if any(value for key, value in envelope.items() if key.casefold() in {"error", "errors"}):
        raise BrokenAnswer('the plugin\'s answer holds an "error", although its status is 200')
    key = _spelling(envelope, "output", "the plugin's answer")
    if key is None:
        return _nothing(envelope, 'the plugin\'s answer has no "output"', "missing_output", empties)
    output = envelope[key]
    if output is None:
        return _nothing(envelope, '"output" of the plugin\'s answer is null', "null_output", empties)
    if not isinstance(output, dict):
        raise BrokenAnswer(f'"output" of the plugin\'s answer is {_kind(output)}; it must be an object')
    return _parameters_of(output, {other: value for other, value in envelope.items() if other != key}, empties)


def _parameters_of(output: dict[str, Any], beside: dict[str, Any], empties: Empties) -> list[dict[str, Any]]:
    key = _spelling(output, "parameters", '"output" of the plugin\'s answer')
    if key is None:
        text = '"output" of the plugin\'s answer has no "parameters"'
        return _nothing(output | beside, text, "missing_parameters", empties)
    sets = output[key]
    if sets is None:
        text = '"output.parameters" of the plugin\'s answer is null'
        return _nothing(output | beside, text, "null_parameters", empties)
    if not isinstance(sets, list):
        raise BrokenAnswer(f'"output.parameters" of the plugin\'s answer is {_kind(sets)}; it must be a list')
    for index, one in enumerate(sets):
        if not isinstance(one, dict) or not one:
            found = "empty" if one == {} else _kind(one)
            raise BrokenAnswer(f"output.parameters[{index}] is {found}; a parameter set must be an object with a key")
    return sets


def _nothing(beside: dict[str, Any], text: str, form: str, empties: Empties) -> list[dict[str, Any]]:
    """Return no sets, if the operator takes this form for that and nothing beside it says otherwise."""
    if any(beside.values()):
        # Sets under another name, or a warning: no setting makes that an honest "none".
        other = next(key for key, value in beside.items() if value)
        raise BrokenAnswer(f"{text}, but there is a value under {_quoted(other)}")
    if not getattr(empties, form):
        raise BrokenAnswer(f'{text}; if that is how the plugin says "no parameter sets", set accept_{form}: true')
    return []


def what_it_says(body: bytes, secret: str) -> str:
    """Return what the plugin says of its error, in one short line without `secret`; or nothing."""
    if is_deeper(body):
        return ""
    try:
        said = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    said = {key.casefold(): text for key, text in said.items()}
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
        raise BrokenAnswer(f"the plugin's answer has the key {_quoted(first_repeated(pairs))} twice in one object")
    return result


def _spelling(value: dict[str, Any], name: str, place: str) -> str | None:
    """Return the key that stands for `name`, in whatever letter case; `None` if there is none.

    Raises:
        BrokenAnswer: there are several. Argo CD takes the last one, and the rest would be lost.
    """
    spellings = [key for key in value if key.casefold() == name]
    if len(spellings) > 1:
        first, second = (_quoted(key) for key in spellings[:2])
        raise BrokenAnswer(f'{place} has both {first} and {second}; Argo CD takes either for "{name}"')
    return spellings[0] if spellings else None


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

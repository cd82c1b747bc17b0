"""What is asked: from the bytes of a request to a question in canonical form."""

from __future__ import annotations

from typing import Any

import msgspec

from hub.core.errors import InvalidRequest
from hub.core.nesting import NestedTooDeeply, check_levels

GETPARAMS = "/api/v1/getparams.execute"
"""The path that Argo CD adds to a ``baseUrl``."""

MAX_NAME_CHARS = 253  # Kubernetes' limit for the name of an object.

MAX_INPUT_DEPTH = 64
"""Lists and objects inside each other in an input, unless the configuration says otherwise."""

_ENVELOPE_LEVELS = 2  # Around "parameters".

EMPTY_INPUT = b"{}"


class Question(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One question. Equal questions have equal answers, so everything that may change an answer is in here."""

    client: str
    route: str
    application_set_name: str
    application_set_namespace: str
    input_json: bytes


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's body says: a question that has no client and no route yet.

    ``input_json`` is the canonical text of ``parameters``: one JSON object, its keys sorted.
    """

    application_set_name: str
    application_set_namespace: str
    parameters: dict[str, Any]
    input_json: bytes


class _Input(msgspec.Struct):
    parameters: dict[str, Any] = {}


class _Envelope(msgspec.Struct, rename="camel"):
    application_set_name: str
    application_set_namespace: str = ""
    input: _Input = msgspec.field(default_factory=_Input)


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def parse_call(body: bytes, *, max_input_depth: int = MAX_INPUT_DEPTH) -> Call:
    """Read a request's body.

    Unknown fields of the envelope are ignored, because newer versions of Argo CD will send more of them. They may not
    be nested deeper than ``input.parameters``, whose lists and objects inside each other are counted from one.

    Raises:
        InvalidRequest: it is not JSON, has a wrong type somewhere, is nested too deeply, or names no ApplicationSet.
    """
    try:
        check_levels(body, _ENVELOPE_LEVELS + max_input_depth)
        envelope = _decode(body)
        parameters = envelope.input.parameters
        input_json = _encode(parameters) if parameters else EMPTY_INPUT
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest(_explain(error, max_input_depth)) from error
    name = envelope.application_set_name
    if not name:
        raise InvalidRequest('"applicationSetName" is empty')
    _check_name("applicationSetName", name)
    _check_name("applicationSetNamespace", envelope.application_set_namespace)
    return Call(
        application_set_name=name,
        application_set_namespace=envelope.application_set_namespace,
        parameters=parameters,
        input_json=input_json,
    )


def _check_name(field: str, name: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise InvalidRequest(f'"{field}" has more than {MAX_NAME_CHARS} characters')
    if name and (not name.isprintable() or " " in name):
        raise InvalidRequest(f'"{field}" has a character that no name has')


def _explain(error: Exception, max_input_depth: int) -> str:
    if isinstance(error, NestedTooDeeply):
        return f"the request's body is nested too deeply: limits.max_input_depth is {max_input_depth}"
    if isinstance(error, UnicodeError):
        return "the request's body is not valid UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return "the request's body is not as expected: " + str(error).replace("`", '"')
    return 'the body is not JSON; expected {"applicationSetName": "…", "input": {"parameters": {…}}}'

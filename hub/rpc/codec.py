"""Messages to core values and back: the only place that knows both."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import grpc
from appset_hub.v1 import backend_pb2, registry_pb2

from hub.core.answer import Notice
from hub.core.directory import BackendInfo
from hub.service.ports import AskError, Broken, InstanceLost, InvalidInput, NotReady, RawAnswer, TimedOut, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.duration_pb2 import Duration

    from hub.service.ports import Ask

MAX_DIGEST_BYTES = 128
MAX_NOTICES = 20
MAX_NOTICE_CHARS = 500
MAX_MESSAGE_CHARS = 300

RETRY_AFTER = "retry-after"  # The trailing metadata of a dialled backend that is not ready, in decimal seconds.

_NANOS = 1_000_000_000

# What gRPC's libraries say: their C core of itself and of the other side, Go and Node.
_LIMIT = re.compile(r"(CLIENT: )?[Rr]eceived message (?:after decompression )?larger than max \((\d+) vs\.? (\d+)\)")

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def info(message: registry_pb2.BackendInfo) -> BackendInfo:
    """What an instance says of itself."""
    return BackendInfo(
        name=message.name,
        instance=message.instance,
        version=message.version,
        application_sets=tuple(message.application_sets),
        input_schema_json=message.input_schema_json,
        max_in_flight=message.max_in_flight,
        unique_by=tuple(message.unique_by),
    )


def request(ask: Ask) -> backend_pb2.GetParamsRequest:
    """What is asked."""
    message = backend_pb2.GetParamsRequest()
    fill_request(message, ask)
    return message


def fill_request(message: backend_pb2.GetParamsRequest, ask: Ask) -> None:
    """Write what is asked into an empty message."""
    message.application_set_name = ask.application_set_name
    message.input_parameters_json = ask.input_json
    message.request_id = ask.request_id
    if ask.application_set_namespace:
        message.application_set_namespace = ask.application_set_namespace
    if ask.known_digest:
        message.known_digest = ask.known_digest


def fill_question(question: registry_pb2.Question, number: int, ask: Ask, time_left_s: float) -> None:
    """Write one ask, as it travels on a stream, into an empty message: a message that is put into another is copied."""
    question.id = number
    fill_request(question.request, ask)
    fill_duration(question.time_left, time_left_s)
    if ask.traceparent:
        question.traceparent = ask.traceparent


def fill_duration(length: Duration, seconds: float) -> None:
    """Write a length of time, never negative, into an empty message."""
    nanos = max(0, int(seconds * _NANOS))
    length.seconds, length.nanos = divmod(nanos, _NANOS)


def seconds(length: Duration) -> float:
    """A length of time, never negative."""
    return max(0.0, length.seconds + length.nanos / _NANOS)


def outcome(answer: registry_pb2.Answer) -> RawAnswer:
    """What a backend answered on its stream.

    Raises:
        AskError: it is a failure, or no outcome at all.
    """
    kind = answer.WhichOneof("outcome")
    if kind == "response":
        return raw_answer(answer.response)
    if kind == "failure":
        failed = answer.failure
        after_s = seconds(failed.retry_after) if failed.HasField("retry_after") else None
        raise failure(_CODES.get(failed.code, grpc.StatusCode.UNKNOWN), failed.message, retry_after_s=after_s)
    raise Broken("an answer without an outcome")


def raw_answer(response: backend_pb2.GetParamsResponse) -> RawAnswer:
    """What a backend answered.

    Raises:
        Broken: the message contradicts itself, or breaks a limit of the contract.
    """
    if response.not_modified and response.parameters_json:
        raise Broken('an answer that is "not modified" and has parameters')
    digest = response.digest
    if digest and len(digest.encode()) > MAX_DIGEST_BYTES:
        raise Broken(f"a digest of more than {MAX_DIGEST_BYTES} bytes")
    return RawAnswer(
        sets_json=response.parameters_json,
        digest=digest,
        not_modified=response.not_modified,
        fresh_for_s=seconds(response.fresh_for) if response.HasField("fresh_for") else None,
        notices=tuple(_notice(one) for one in response.notices[:MAX_NOTICES]) if response.notices else (),
    )


def _notice(notice: backend_pb2.Notice) -> Notice:
    severity = "info" if notice.severity == backend_pb2.SEVERITY_INFO else "warning"
    return Notice(kind="from_backend", text=one_line(notice.text, MAX_NOTICE_CHARS), severity=severity)


def retry_after_s(trailing: Iterable[tuple[str, str | bytes]] | None) -> float | None:
    """After how many seconds a call should be repeated, by its trailing metadata; ``None`` if it does not say."""
    text = next((value for key, value in trailing or () if key == RETRY_AFTER), "")
    try:
        after_s = float(text)
    except ValueError:
        return None
    return after_s if math.isfinite(after_s) else None


def failure(code: grpc.StatusCode, message: str, *, lost: bool = False, retry_after_s: float | None = None) -> AskError:
    """The error of a gRPC status; ``lost`` says that the connection broke rather than that the backend said so."""
    text = one_line(message, MAX_MESSAGE_CHARS)
    if lost:
        return InstanceLost(text)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidInput(text or "no reason given")
        case grpc.StatusCode.UNAVAILABLE:
            return NotReady(text or "no reason given", retry_after_s)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOut(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(_size_and_limit(text) or "no reason given (RESOURCE_EXHAUSTED)")
        case _:
            return Broken(f"{code.name}: {text}")


def _size_and_limit(text: str) -> str:
    """What exceeded a limit of gRPC, in our own words; or the text as it is."""
    found = _LIMIT.search(text)
    if found is None:
        return text
    here, size, limit = found.groups()
    if here:
        return f"its answer has {size} bytes, and the hub cannot even read more than {limit}"
    return f"the question has {size} bytes, and the backend's gRPC server reads at most {limit}"


def one_line(text: str, max_chars: int) -> str:
    """A backend's text, fit for a log line or a status: no line breaks or control characters, and not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 2 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"

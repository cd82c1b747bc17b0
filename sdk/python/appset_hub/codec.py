"""Between the messages on the wire and the values of this package: the only module that knows both."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from appset_hub.encoding import Encoded
from appset_hub.errors import InvalidInput, QuestionFailed, one_line
from appset_hub.nesting import MAX_LEVELS, is_deeper
from appset_hub.question import Question, Severity
from appset_hub.v1 import backend_pb2, registry_pb2

if TYPE_CHECKING:
    from collections import deque

    from google.protobuf.duration_pb2 import Duration

    from appset_hub.settings import Backend

Outcome = Encoded | QuestionFailed

_BATCH_BYTES = 4 * 1024 * 1024
# More than the fields of an answer beside its JSON ever take, but for its notices.
_OVERHEAD_BYTES = 4096

_UNREADABLE = f"input_parameters_json is not JSON of at most {MAX_LEVELS} levels"

_SEVERITIES = {
    Severity.INFO: backend_pb2.Severity.SEVERITY_INFO,
    Severity.WARNING: backend_pb2.Severity.SEVERITY_WARNING,
}


def backend_info(backend: Backend, instance: str) -> registry_pb2.BackendInfo:
    """Return what the hub is told about this instance of `backend`."""
    return registry_pb2.BackendInfo(
        name=backend.name,
        instance=instance,
        version=backend.version,
        application_sets=backend.application_sets,
        input_schema_json=backend.input_schema_json(),
        max_in_flight=backend.max_in_flight,
        unique_by=backend.unique_by,
    )


def to_question(request: backend_pb2.GetParamsRequest, *, time_left_s: float, traceparent: str = "") -> Question:
    """Return the question that `request` asks.

    Raises:
        InvalidInput: its input is not one JSON object.
    """
    text = request.input_parameters_json
    try:
        parameters = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(_UNREADABLE) from error
    # Each level takes two bytes at least.
    if len(text) > 2 * MAX_LEVELS and is_deeper(parameters):
        raise InvalidInput(_UNREADABLE)
    if type(parameters) is not dict:
        raise InvalidInput("input_parameters_json must be one JSON object")
    return Question(
        application_set_name=request.application_set_name,
        application_set_namespace=request.application_set_namespace,
        parameters=parameters,
        request_id=request.request_id,
        deadline_s=time.monotonic() + time_left_s,
        traceparent=traceparent,
    )


def time_left_s(question: registry_pb2.Question) -> float:
    """Return how long the hub waits for `question`; for ever when it did not say."""
    return seconds(question.time_left) if question.HasField("time_left") else float("inf")


def seconds(duration: Duration) -> float:
    """Return `duration` in seconds."""
    return duration.seconds + duration.nanos / 1e9


def fill_response(response: backend_pb2.GetParamsResponse, encoded: Encoded) -> None:
    """Write `encoded` into an empty response."""
    response.parameters_json = encoded.parameters_json
    response.digest = encoded.digest
    response.not_modified = encoded.not_modified
    if encoded.fresh_for_s is not None:
        response.fresh_for.FromNanoseconds(int(encoded.fresh_for_s * 1e9))
    for notice in encoded.notices:
        response.notices.add(severity=_SEVERITIES[notice.severity], text=one_line(notice.text))


def take_answers(outbox: deque[tuple[int, Outcome]]) -> registry_pb2.AttachRequest:
    """Take as many outcomes off `outbox` as one message holds: at least one, and no more than stay under 4 MiB."""
    message = registry_pb2.AttachRequest()
    answers = message.answers.answers
    size = 0
    while outbox:
        question_id, outcome = outbox[0]
        size += _size_of(outcome)
        if size > _BATCH_BYTES and answers:
            break
        outbox.popleft()
        answer = answers.add(question_id=question_id)
        if isinstance(outcome, Encoded):
            fill_response(answer.response, outcome)
        else:
            answer.failure.code = outcome.code
            answer.failure.message = outcome.message
    return message


def _size_of(outcome: Outcome) -> int:
    """Return no less than what `outcome` takes on the wire."""
    if isinstance(outcome, Encoded):
        # A line is cut at 1024 characters, of at most 4 bytes.
        return len(outcome.parameters_json) + _OVERHEAD_BYTES * (1 + len(outcome.notices))
    return 2 * _OVERHEAD_BYTES

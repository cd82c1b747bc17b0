"""What is too large fails alone: the other questions of its stream go on, and nobody repeats it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from appset_hub.v1 import registry_pb2

from hub.core.answer import Limits
from hub.core.errors import AnswerRefused, InputRefused, LimitExceeded
from hub.core.events import AskRetried, BackendFailure, InstanceLeft
from hub.rpc import codec
from hub.service.ports import TooLarge
from tests.support.rpc import MAX_ANSWER_BYTES, answer, reachable, stream
from tests.support.service import route

if TYPE_CHECKING:
    from tests.support.rpc import Attached


async def questions(attached: Attached, count: int) -> dict[str, int]:
    """The ids of the next questions, by the name that asks."""
    found: dict[str, int] = {}
    while len(found) < count:
        found |= {one.request.application_set_name: one.id for one in await attached.questions()}
    return found


@pytest.mark.parametrize("times", [1, 2, 6])
async def test_an_answer_over_the_limit_fails_alone_and_is_not_asked_again(times: int) -> None:
    async with reachable(route(), answer_limits=Limits(max_bytes=MAX_ANSWER_BYTES)) as hub, stream(hub) as attached:
        await attached.hello()
        large = asyncio.ensure_future(hub.service.refusal("fb-large"))
        small = hub.service.asking("fb-small")
        ids = await questions(attached, 2)
        await attached.answer(answer(ids["fb-large"], b"x" * (times * MAX_ANSWER_BYTES + 1)))
        refused = await large
        assert isinstance(refused, AnswerRefused)
        assert str(refused) == (
            f'backend "images" answered with {times * MAX_ANSWER_BYTES + 1} bytes, and limits.max_answer_bytes is '
            f"{MAX_ANSWER_BYTES}; return fewer or smaller parameter sets, or raise the limit"
        )
        await attached.answer(answer(ids["fb-small"]))
        assert await small == [{"a": "1"}]
        assert hub.service.events.of(AskRetried) == []
        assert hub.service.events.of(InstanceLeft) == []


async def test_a_backend_that_refuses_to_send_it_says_size_and_limit_to_the_caller() -> None:
    said = "the answer has 17 bytes of JSON,\nand the hub accepts 16"
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        (question,) = await attached.questions()
        failure = registry_pb2.Failure(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=said)
        await attached.answer(registry_pb2.Answer(question_id=question.id, failure=failure))
        refused = await asking
        assert isinstance(refused, LimitExceeded)
        assert (refused.status, refused.reason) == (502, "limit_exceeded")
        assert str(refused) == (
            'backend "images" returned no answer; Applications are left unchanged: the answer has 17 bytes of JSON, '
            "and the hub accepts 16"
        )
        assert hub.service.events.of(AskRetried) == []
        assert (
            hub.service.events.of(BackendFailure)[0].detail == "the answer has 17 bytes of JSON, and the hub accepts 16"
        )


async def test_an_input_over_what_a_backend_reads_is_a_400_that_names_it() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello(max_input_bytes=1000)
        refused = await hub.service.refusal("fb-1", {"a": "x" * 1000})
        assert isinstance(refused, InputRefused)
        assert str(refused) == (
            'backend "images" refuses the input: the input has 1008 bytes; this backend accepts at most 1000'
        )
        asking = hub.service.asking("fb-2")
        await attached.answer(answer((await attached.questions())[0].id))
        assert await asking == [{"a": "1"}]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("CLIENT: Received message larger than max (70 vs. 60)",
         "its answer has 70 bytes, and the hub cannot even read more than 60"),
        ("SERVER: Received message larger than max (70 vs. 60)",
         "the question has 70 bytes, and the backend's gRPC server reads at most 60"),
        ("grpc: received message larger than max (70 vs. 60)",
         "the question has 70 bytes, and the backend's gRPC server reads at most 60"),
        ("Received message larger than max (70 vs 60)",
         "the question has 70 bytes, and the backend's gRPC server reads at most 60"),
        ("the quota of the registry is used up", "the quota of the registry is used up"),
        ("", "no reason given (RESOURCE_EXHAUSTED)"),
    ],
    ids=["the hub's own limit", "the core of gRPC", "Go", "Node", "something else", "nothing"],
)  # fmt: skip
def test_a_limit_of_grpc_is_named_in_our_own_words(said: str, text: str) -> None:
    error = codec.failure(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    assert isinstance(error, TooLarge)
    assert str(error) == text

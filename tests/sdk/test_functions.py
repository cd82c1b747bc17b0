"""What the author's function may do, seen from the hub."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from appset_hub import (
    Answer,
    AnswerTooLarge,
    Backend,
    BackendFault,
    DeadlinePassed,
    InvalidInput,
    Notice,
    NotReady,
    Question,
    Severity,
)
from appset_hub.codec import to_question
from appset_hub.testing import harness
from appset_hub.v1 import backend_pb2

if TYPE_CHECKING:
    from appset_hub import Function

SECRET = "hunter2"


def backend(function: Function) -> Backend:
    return Backend(function=function, name="images", application_sets=["fb-*"])


async def test_the_function_gets_the_question_whole() -> None:
    seen: list[Question] = []

    async def function(question: Question) -> list[dict[str, Any]]:
        seen.append(question)
        return [{"left": question.time_left_s()}]

    async with harness(backend(function)) as hub:
        parameters = {"branch": "é", "n": 10**30, "deep": [{"a": None}]}
        [answered] = await hub.ask("fb-matrix", parameters, namespace="argocd", deadline_s=8)
    [question] = seen
    assert (question.application_set_name, question.application_set_namespace) == ("fb-matrix", "argocd")
    assert (question.parameters, question.request_id) == (parameters, "test")
    assert 7 < answered["left"] <= 8


async def test_an_answer_says_more_than_its_sets() -> None:
    async def function(_question: Question) -> Answer:
        notices = (Notice(text="old\ncache", severity=Severity.INFO), Notice(text="look"))
        return Answer(parameters=[{"a": 1}], fresh_for_s=1.5, notices=notices, digest="v1")

    async with harness(backend(function)) as hub:
        reply = await hub.reply("fb-1")
        again = await hub.reply("fb-1", known_digest="v1")
    assert (reply.parameters, reply.digest, reply.fresh_for_s) == ([{"a": 1}], "v1", 1.5)
    assert reply.notices == (Notice(text="old cache", severity=Severity.INFO), Notice(text="look"))
    assert (again.not_modified, again.parameters) == (True, [])


async def test_an_answer_that_the_hub_holds_is_recognised_without_the_authors_help() -> None:
    async def function(question: Question) -> list[dict[str, Any]]:
        return [{"branch": question.parameters["branch"]}]

    async with harness(backend(function)) as hub:
        first = await hub.reply("fb-1", {"branch": "a"})
        assert (await hub.reply("fb-1", {"branch": "a"}, known_digest=first.digest)).not_modified
        assert not (await hub.reply("fb-1", {"branch": "b"}, known_digest=first.digest)).not_modified


async def test_wrong_input_carries_its_path() -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise InvalidInput("no such\nbranch \ud800", path="$.branch")

    async with harness(backend(function)) as hub:
        with pytest.raises(InvalidInput, match=r"^\$\.branch: no such branch \?$"):
            await hub.ask("fb-1")


async def test_not_ready_is_told_as_it_is() -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise NotReady("the cache is cold")

    async with harness(backend(function)) as hub:
        with pytest.raises(NotReady, match=r"^the cache is cold$"):
            await hub.ask("fb-1")


@pytest.mark.parametrize("after_s", [7, 0.25, None])
async def test_when_a_function_expects_to_be_ready_is_told_too(after_s: float | None) -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise NotReady("rate limited", retry_after_s=after_s)

    async with harness(backend(function)) as hub:
        with pytest.raises(NotReady, match=r"^rate limited$") as caught:
            await hub.ask("fb-1")
    assert caught.value.retry_after_s == after_s


async def test_any_other_exception_is_told_without_its_text_and_logged_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise ConnectionError(SECRET)

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match=r"^the function failed with ConnectionError; ") as caught:
            await hub.ask("fb-1")
    assert SECRET not in str(caught.value)
    assert SECRET in caplog.text


async def test_what_is_no_answer_is_told_with_its_place() -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        return [{"a": 1}, {"b": [float("nan")]}]

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match=r"^parameters\[1\]\.b\[0\] is nan"):
            await hub.ask("fb-1")


async def test_an_answer_that_is_too_large_fails_alone() -> None:
    async def function(question: Question) -> list[dict[str, Any]]:
        return [{"a": "x" * question.parameters["size"]}]

    async with harness(backend(function), max_answer_bytes=1000) as hub:
        small = asyncio.create_task(hub.ask("fb-1", {"size": 10}))
        with pytest.raises(AnswerTooLarge, match="the answer has 1011 bytes of JSON, and the hub accepts 1000"):
            await hub.ask("fb-1", {"size": 1001})
        assert await small == [{"a": "x" * 10}]
    assert issubclass(AnswerTooLarge, BackendFault)


async def test_no_more_notices_travel_than_the_hub_reads() -> None:
    def talkative(_question: Question) -> Answer:
        return Answer(parameters=[], notices=tuple(Notice(text=str(number)) for number in range(1000)))

    async with harness(backend(talkative)) as hub:
        reply = await hub.reply("fb-1")
        assert [notice.text for notice in reply.notices] == [str(number) for number in range(20)]


async def test_answers_of_many_megabytes_pass() -> None:
    async def function(question: Question) -> list[dict[str, Any]]:
        return [{"a": "x" * question.parameters["size"]}]

    async with harness(backend(function)) as hub:
        sizes = [15 * 1024 * 1024, 10, 3 * 1024 * 1024, 3 * 1024 * 1024, 5]
        answers = await asyncio.gather(*(hub.ask("fb-1", {"size": size}) for size in sizes))
    assert [len(sets[0]["a"]) for sets in answers] == sizes


async def test_a_plain_function_runs_in_threads_beside_the_loop() -> None:
    together = threading.Barrier(4, timeout=10)

    def function(_question: Question) -> list[dict[str, Any]]:
        together.wait()
        return [{"thread": threading.current_thread() is not threading.main_thread()}]

    async with harness(backend(function)) as hub:
        answers = await asyncio.gather(*(hub.ask("fb-1") for _ in range(4)))
    assert answers == [[{"thread": True}]] * 4


@pytest.mark.parametrize("kind", ["partial", "object", "lambda"])
async def test_whatever_can_be_awaited_is(kind: str) -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        return [{"a": 1}]

    class Callable:
        async def __call__(self, question: Question) -> list[dict[str, Any]]:
            return await function(question)

    functions: dict[str, Function] = {
        "partial": functools.partial(function),
        "object": Callable(),
        "lambda": lambda question: function(question),  # noqa: PLW0108 - a plain callable is the point.
    }
    async with harness(backend(functions[kind])) as hub:
        assert await hub.ask("fb-1") == [{"a": 1}]


async def test_an_exhausted_iterator_in_a_plain_function_is_a_failure_and_no_hang() -> None:
    def function(_question: Question) -> list[dict[str, Any]]:
        return [next(iter(()))]

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match="RuntimeError"):
            await hub.ask("fb-1")


async def test_a_function_that_let_go_of_something_cancelled_is_a_failure() -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise asyncio.CancelledError

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match="CancelledError"):
            await hub.ask("fb-1")


class Harsh(BaseException):
    """No `Exception`: as test runners and other loops raise them."""


ENDINGS: dict[str, tuple[BaseException, str]] = {
    "sys.exit": (SystemExit(SECRET), "the function called sys.exit; the backend's log has the details"),
    "own": (Harsh(SECRET), "the function failed with Harsh; "),
}


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_would_end_a_process_ends_one_question_and_is_logged(
    caplog: pytest.LogCaptureFixture, ending: str, *, is_async: bool
) -> None:
    error, message = ENDINGS[ending]

    def plain(question: Question) -> list[dict[str, Any]]:
        if question.parameters:
            raise error
        return [{"a": 1}]

    async def coroutine(question: Question) -> list[dict[str, Any]]:
        return plain(question)

    async with harness(backend(coroutine if is_async else plain)) as hub:
        with pytest.raises(BackendFault) as caught:
            await hub.ask("fb-1", {"end": True})
        assert await hub.ask("fb-1") == [{"a": 1}]
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
async def test_what_no_awaiting_code_may_get_from_a_thread_is_a_failure_too(
    caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def function(_question: Question) -> list[dict[str, Any]]:
        raise kind(SECRET)

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match="RuntimeError"):
            await hub.ask("fb-1")
    assert f"the function raised {kind.__name__}" in caplog.text
    assert SECRET in caplog.text


async def test_a_generator_exit_of_an_async_function_is_a_failure() -> None:
    async def function(_question: Question) -> list[dict[str, Any]]:
        raise GeneratorExit

    async with harness(backend(function)) as hub:
        with pytest.raises(BackendFault, match="GeneratorExit"):
            await hub.ask("fb-1")


async def test_a_function_that_exits_when_it_is_cancelled_stays_cancelled_and_the_backend_goes_on() -> None:
    exited = asyncio.Event()

    async def function(question: Question) -> list[dict[str, Any]]:
        try:
            await asyncio.sleep(3600 if question.parameters else 0)
        except asyncio.CancelledError:
            exited.set()
            sys.exit(1)
        return [{"a": 1}]

    async with harness(backend(function)) as hub:
        with pytest.raises(DeadlinePassed):
            await hub.ask("fb-1", {"slow": True}, deadline_s=0.05)
        await exited.wait()
        assert await hub.ask("fb-1") == [{"a": 1}]


async def test_the_function_is_cancelled_when_the_caller_hangs_up() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def function(_question: Question) -> list[dict[str, Any]]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    async with harness(backend(function)) as hub:
        asked = asyncio.create_task(hub.ask("fb-1"))
        await started.wait()
        asked.cancel()
        await cancelled.wait()


async def test_the_function_is_cancelled_at_the_deadline_and_the_hub_is_told() -> None:
    cancelled = asyncio.Event()

    async def function(_question: Question) -> list[dict[str, Any]]:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    async with harness(backend(function)) as hub:
        with pytest.raises(DeadlinePassed):
            await hub.ask("fb-1", deadline_s=0.05)
        await cancelled.wait()


async def test_a_function_that_ignores_its_cancellation_answers_once_and_holds_nobody_up() -> None:
    stop = asyncio.Event()

    async def function(question: Question) -> list[dict[str, Any]]:
        while question.parameters and not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        return [{"a": 1}]

    async with harness(backend(function)) as hub:
        with pytest.raises(DeadlinePassed):
            await hub.ask("fb-1", {"slow": True}, deadline_s=0.05)
        assert await hub.ask("fb-1") == [{"a": 1}]
        stop.set()
        assert await hub.ask("fb-1") == [{"a": 1}]


def asked(levels: int, after: bytes = b"") -> Question:
    text = b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}" + after
    return to_question(backend_pb2.GetParamsRequest(input_parameters_json=text), time_left_s=1)


@pytest.mark.parametrize("levels", [201, 500, 990, 2000, 9000, 20_000])
@pytest.mark.parametrize("after", [b"", b"x"], ids=["whole", "broken"])
def test_an_input_that_is_too_deep_is_refused_before_the_function_sees_it(levels: int, after: bytes) -> None:
    assert asked(200).parameters["a"]
    with pytest.raises(InvalidInput, match=r"^input_parameters_json is not JSON of at most 200 levels$"):
        asked(levels, after)

"""How backends attach and register, over real gRPC, with nothing but stubs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import pytest
from appset_hub.v1 import registry_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hub.core.deadline import Deadline
from hub.core.directory import Grant
from hub.core.errors import BackendFailed, BackendNotReady, DeadlinePassed, HubError, InputRefused
from hub.core.events import (
    AnswerNoticed,
    BackendFailure,
    InstanceJoined,
    InstanceLeft,
    InternalFault,
    RegistrationRefused,
    StreamEnded,
    StreamOpened,
)
from hub.rpc.attach import Session
from hub.rpc.credentials import BackendAccess, Credentials
from hub.rpc.register import Registry
from hub.rpc.server import CannotListen, RpcServer
from hub.service.ports import Ask, InstanceLost
from tests.support.fakes import FakeStore
from tests.support.rpc import (
    ACCESS,
    IMAGES,
    KEY,
    MAX_ANSWER_BYTES,
    answer,
    backend_info,
    reachable,
    registry,
    stream,
)
from tests.support.service import Service, route
from tests.support.virtual import after, now_s, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.service.ports import Change
    from tests.support.rpc import Hub

OTHERS = (("authorization", "Bearer owners-token"),)
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def hello(**more: Any) -> dict[str, Any]:
    return {"hello": registry_pb2.Hello(backend=backend_info(**more))}


async def test_an_attached_backend_is_welcomed_asked_and_heard() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        welcome = await attached.hello(max_in_flight=7)
        assert (welcome.hub_instance, welcome.max_in_flight, welcome.max_answer_bytes) == ("hub-1", 7, MAX_ANSWER_BYTES)
        asking = hub.service.asking("fb-1", {"b": 1, "a": 2})
        (question,) = await attached.questions()
        assert question.request.application_set_name == "fb-1"
        assert question.request.input_parameters_json == b'{"a":2,"b":1}'
        assert question.request.request_id == "id-1"
        assert 0 < question.time_left.ToMilliseconds() <= 25_000
        await attached.answer(answer(question.id))
        assert await asking == [{"a": "1"}]
        (joined,) = hub.service.events.of(InstanceJoined)
        assert (joined.backend, joined.instance, joined.kind) == ("images", "one", "attached")


@pytest.mark.parametrize(
    ("metadata", "message", "code", "details"),
    [
        ((), hello(), UNAUTHENTICATED, "no valid credentials: the metadata authorization must be a bearer token"),
        ((("authorization", "Bearer wrong"),), hello(), UNAUTHENTICATED, "no valid credentials"),
        ((("authorization", "images-token"),), hello(), UNAUTHENTICATED, "no valid credentials"),
        (OTHERS, hello(), DENIED, 'these credentials are not those of backend "images"'),
        (IMAGES, hello(name="strangers"), DENIED, 'the hub\'s configuration has no backend "strangers"'),
        ((), hello(name="strangers"), UNAUTHENTICATED, "no valid credentials"),
        (IMAGES, {"leaving": registry_pb2.Leaving()}, INVALID, "the first message must be hello"),
        (IMAGES, {"answers": registry_pb2.Answers()}, INVALID, "the first message must be hello"),
        (IMAGES, {}, INVALID, "the first message must be hello"),
        (IMAGES, hello(instance=""), INVALID, "backend.instance is empty; it must identify this process"),
        (IMAGES, hello(application_sets=[""]), INVALID, "backend.application_sets[0] must be 1 to 253 printable"),
    ],
    ids=["no token", "a wrong token", "no scheme", "another backend's token", "a stranger with a token", "a stranger",
         "leaving first", "answers first", "nothing first", "no instance", "an empty pattern"],
)  # fmt: skip
async def test_who_may_not_attach_is_told_why(
    metadata: Any, message: dict[str, Any], code: grpc.StatusCode, details: str
) -> None:
    async with reachable(route()) as hub, stream(hub, metadata) as attached:
        await attached.offer(**message)
        said = await attached.ended()
        assert said[0] is code
        assert said[1].startswith(details)
        assert list(hub.service.directory) == []
        refused = await hub.service.events.first(RegistrationRefused)
        assert refused.code == code.name
        assert refused.backend in ("", "images")


async def test_a_stream_that_ends_before_it_says_hello_harms_nobody() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.call.done_writing()
        assert (await attached.ended())[0] is INVALID


async def test_both_tokens_of_a_backend_are_good_and_new_ones_count_from_the_next_call_on() -> None:
    async with reachable(route()) as hub:
        async with stream(hub, (("authorization", "Bearer images-next"),)) as attached:
            await attached.hello()
            hub.credentials.replace([BackendAccess(backend="images", tokens=("rotated",))])
            async with stream(hub) as late:
                await late.offer(**hello(instance="two"))
                assert (await late.ended())[0] is UNAUTHENTICATED
            asking = hub.service.asking()
            await attached.answer(answer((await attached.questions())[0].id))
            await asking
        async with stream(hub, (("authorization", "Bearer rotated"),)) as attached:
            await attached.hello(instance="two")


async def test_without_any_credentials_configured_nobody_is_that_backend() -> None:
    access = (BackendAccess(backend="images"), *ACCESS[1:])
    async with reachable(route(), access=access) as hub, stream(hub, OTHERS) as attached:
        await attached.offer(**hello())
        assert (await attached.ended())[0] is UNAUTHENTICATED


async def test_a_hub_for_development_takes_anybody() -> None:
    async with reachable(route(), access=(), anyone=True) as hub, stream(hub, ()) as attached:
        await attached.hello()


@pytest.mark.parametrize(
    ("message", "details"),
    [
        (hello(), "hello may be the first message only"),
        ({}, "a message of no known kind"),
        ({"answers": registry_pb2.Answers(answers=[answer(99)])},
         "an answer to question 99, which was never asked"),
        ({"answers": registry_pb2.Answers(answers=[answer(0)])}, "an answer to question 0, which was never asked"),
    ],
    ids=["hello again", "nothing", "an answer to nothing", "an answer to number zero"],
)  # fmt: skip
async def test_who_breaks_the_protocol_is_cut_off_and_the_question_goes_elsewhere(
    message: dict[str, Any], details: str
) -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking()
        await attached.questions()
        await attached.send(**message)
        assert await attached.ended() == (INVALID, details)
        left = await hub.service.events.first(InstanceLeft)
        assert left.cause == f"it broke the protocol: {details}"
        async with stream(hub) as again:
            await again.hello(instance="two")
            await again.answer(answer((await again.questions())[0].id))
            assert await asking == [{"a": "1"}]


async def test_answers_may_come_in_any_order_and_twice() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = [hub.service.asking(f"fb-{number}") for number in range(3)]
        questions = await attached.questions()
        while len(questions) < 3:
            questions += await attached.questions()
        answers = [answer(one.id, b'[{"n":"%s"}]' % one.request.application_set_name.encode()) for one in questions]
        await attached.answer(*reversed(answers), answers[0])
        assert await asyncio.gather(*asking) == [[{"n": f"fb-{number}"}] for number in range(3)]
        again = hub.service.asking("fb-9")
        await attached.answer(answer((await attached.questions())[0].id))
        await again


async def test_what_waits_together_travels_together() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello(max_in_flight=500)
        asking = [hub.service.asking(f"fb-{number}") for number in range(200)]
        messages = 0
        questions: list[registry_pb2.Question] = []
        while len(questions) < 200:
            questions += await attached.questions()
            messages += 1
        assert messages < 20
        assert len({question.id for question in questions}) == 200
        await attached.answer(*(answer(question.id) for question in questions))
        await asyncio.gather(*asking)


async def test_a_message_stays_under_four_mebibytes() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = [hub.service.asking("fb-1", {"n": number, "x": "x" * 900_000}) for number in range(8)]
        sizes = []
        questions: list[registry_pb2.Question] = []
        while len(questions) < 8:
            message = await attached.read()
            sizes.append(message.ByteSize())
            questions += message.questions.questions
        assert max(sizes) < 4 * 1024 * 1024
        await attached.answer(*(answer(question.id) for question in questions))
        await asyncio.gather(*asking)


class Recorder:
    """A stream that takes what is written at once, and gives back the answers that a test puts in."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.answers: asyncio.Queue[registry_pb2.AttachRequest] = asyncio.Queue()

    async def read(self) -> registry_pb2.AttachRequest:
        return await self.answers.get()

    async def write(self, message: registry_pb2.AttachResponse) -> None:
        if message.WhichOneof("kind") == "questions":
            self.batches.append([one.request.application_set_name for one in message.questions.questions])

    def answer(self, *numbers: int) -> None:
        answers = registry_pb2.Answers(answers=[answer(number) for number in numbers])
        self.answers.put_nowait(registry_pb2.AttachRequest(answers=answers))


@on_virtual_time
async def test_while_questions_are_on_their_way_the_next_wait_a_moment_for_company() -> None:
    stream, session = Recorder(), Session(now_s)
    running = asyncio.ensure_future(session.run(cast("Any", stream), SilentPeer(), registry_pb2.Welcome()))

    def ask(name: str) -> asyncio.Task[Any]:
        return asyncio.ensure_future(session.ask(asked(name), Deadline(now_s() + 5)))

    asking = [ask("first")]
    await after(0.0001)
    assert stream.batches == [["first"]], "nothing is on its way: it goes at once"
    asking.append(ask("second"))
    await after(0.0003)
    asking.append(ask("third"))
    await after(0.0003)
    assert stream.batches == [["first"]], "they wait for company"
    await after(0.0005)
    assert stream.batches == [["first"], ["second", "third"]], "but a moment only"
    asking.append(ask("fourth"))
    await after(0.0001)
    stream.answer(1, 2, 3)
    await after(0.0001)
    assert stream.batches[2:] == [["fourth"]], "what they waited for is answered"
    await after(0.01)
    asking.append(ask("fifth"))
    await after(0.0001)
    assert stream.batches[3:] == [["fifth"]], "the last message was a moment ago"
    stream.answer(4, 5)
    await asyncio.gather(*asking)
    running.cancel()


async def test_a_caller_who_hangs_up_is_told_to_the_backend() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking()
        (question,) = await attached.questions()
        asking.cancel()
        message = await attached.read()
        assert list(message.cancels.question_ids) == [question.id]
        await attached.answer(answer(question.id))
        again = hub.service.asking("fb-2")
        await attached.answer(answer((await attached.questions())[0].id))
        assert await again == [{"a": "1"}]


class SlowContext:
    """A stream whose writes take until they are let."""

    def __init__(self) -> None:
        self.written: list[registry_pb2.AttachResponse] = []
        self.let = asyncio.Semaphore(1)
        self.writing = asyncio.Event()
        self.wrote = asyncio.Semaphore(0)

    async def read(self) -> Any:
        await asyncio.Event().wait()

    async def write(self, message: registry_pb2.AttachResponse) -> None:
        self.writing.set()
        await self.let.acquire()
        self.written.append(message)
        self.wrote.release()


async def test_a_question_that_nobody_waits_for_any_more_is_not_even_sent() -> None:
    context, clock = SlowContext(), asyncio.get_running_loop().time
    session = Session(clock)
    running = asyncio.ensure_future(session.run(cast("Any", context), SilentPeer(), registry_pb2.Welcome()))
    await context.wrote.acquire()
    context.writing.clear()
    asking = [asyncio.ensure_future(session.ask(asked("first"), Deadline(clock() + 5)))]
    await context.writing.wait()
    asking += [asyncio.ensure_future(session.ask(asked(name), Deadline(clock() + 5))) for name in ("gone", "last")]
    await asyncio.sleep(0)
    asking[1].cancel()
    await asyncio.wait([asking[1]])
    for _ in range(5):
        context.let.release()
    await context.wrote.acquire()
    await context.wrote.acquire()
    sent = [one.request.application_set_name for message in context.written for one in message.questions.questions]
    assert sent == ["first", "last"]
    assert not any(message.HasField("cancels") for message in context.written)
    session.lose()
    with pytest.raises(InstanceLost):
        await asking[0]
    with pytest.raises(InstanceLost):
        await session.ask(asked("late"), Deadline(clock() + 5))
    running.cancel()
    await asyncio.wait([running, *asking])
    assert isinstance(asking[2].exception(), InstanceLost)


class SilentPeer:
    def leaving(self) -> None:
        raise AssertionError("nobody is leaving")


def asked(name: str) -> Ask:
    return Ask(application_set_name=name, application_set_namespace="", input_json=b"{}", request_id="")


async def test_a_slow_backend_hears_that_the_deadline_has_passed() -> None:
    async with reachable(route(deadline_s=0.3)) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        (question,) = await attached.questions()
        assert question.time_left.ToMilliseconds() <= 300
        assert isinstance(await asking, DeadlinePassed)
        assert list((await attached.read()).cancels.question_ids) == [question.id]


async def test_when_an_attached_backend_expects_to_be_ready_is_passed_on() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        failure = registry_pb2.Failure(code=14, message="rate limited")
        failure.retry_after.FromMilliseconds(6500)
        await attached.answer(registry_pb2.Answer(question_id=(await attached.questions())[0].id, failure=failure))
        error = await asking
        assert (str(error), error.retry_after_s) == ('backend "images" is not ready: rate limited', 7)


@pytest.mark.parametrize(
    ("outcome", "error", "message"),
    [
        ({"failure": registry_pb2.Failure(code=3, message="$.branch: is missing")}, InputRefused,
         'backend "images" refuses the input: $.branch: is missing'),
        ({"failure": registry_pb2.Failure(code=3)}, InputRefused,
         'backend "images" refuses the input: no reason given'),
        ({"failure": registry_pb2.Failure(code=14, message="warming\nup")}, BackendNotReady,
         'backend "images" is not ready: warming up'),
        ({"failure": registry_pb2.Failure(code=13, message="password=hunter2")}, BackendFailed,
         'backend "images" failed; its own log, and the hub\'s, say why'),
        ({"failure": registry_pb2.Failure(code=0)}, BackendFailed,
         'backend "images" failed; its own log, and the hub\'s, say why'),
        ({"failure": registry_pb2.Failure(code=4711)}, BackendFailed,
         'backend "images" failed; its own log, and the hub\'s, say why'),
        ({"failure": registry_pb2.Failure(code=4)}, DeadlinePassed, 'backend "images" did not answer in time'),
        ({}, BackendFailed, 'backend "images" failed; its own log, and the hub\'s, say why'),
    ],
    ids=["invalid", "invalid without a reason", "not ready", "internal", "ok", "no code of gRPC's", "too late",
         "no outcome"],
)  # fmt: skip
async def test_a_failure_has_the_meaning_of_its_code(
    outcome: dict[str, Any], error: type[HubError], message: str
) -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        (question,) = await attached.questions()
        await attached.answer(registry_pb2.Answer(question_id=question.id, **outcome))
        refused = await asking
        assert isinstance(refused, error)
        assert str(refused).startswith(message)
        for failure in hub.service.events.of(BackendFailure):
            assert failure.detail


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sets_json": b""}, 'backend "images" answered with nothing at all; an empty list is "[]"'),
        ({"sets_json": b'[{"a":1}]', "not_modified": True}, 'backend "images" failed'),
        ({"sets_json": b"[]", "digest": "x" * 129}, 'backend "images" failed'),
        ({"sets_json": b"[{}]"}, 'backend "images": set 1 of 1 is empty'),
    ],
    ids=["empty bytes", "a contradiction", "a long digest", "an empty set"],
)
async def test_an_answer_that_breaks_the_contract_is_a_502(fields: dict[str, Any], message: str) -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        (question,) = await attached.questions()
        await attached.answer(answer(question.id, **fields))
        refused = await asking
        assert (refused.status, str(refused).startswith(message)) == (502, True)


async def test_what_a_backend_remarks_is_for_operators_and_cut_to_one_line() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking()
        (question,) = await attached.questions()
        notices = [{"severity": 1, "text": "slow\nregistry"}, {"text": "x" * 10_000}, *[{"text": "more"}] * 30]
        await attached.answer(answer(question.id, notices=notices, digest="d1"))
        assert await asking == [{"a": "1"}]
        told = [event.notice for event in hub.service.events.of(AnswerNoticed)]
        assert (told[0].text, told[0].severity) == ("slow registry", "info")
        assert (len(told[1].text), told[1].severity) == (500, "warning")
        assert len(told) == 20


async def test_an_answer_of_the_largest_size_is_taken() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking()
        (question,) = await attached.questions()
        await attached.answer(answer(question.id, b'[{"a":"' + b"x" * (MAX_ANSWER_BYTES - 20) + b'"}]'))
        assert len(await asking) == 1


async def test_a_message_that_is_too_large_to_be_read_ends_the_stream() -> None:
    async with reachable(route(wait_for_absent_s=0.2)) as hub, stream(hub) as attached:
        await attached.hello()
        asking = asyncio.ensure_future(hub.service.refusal())
        (question,) = await attached.questions()
        await attached.answer(answer(question.id, b"x" * (9 * MAX_ANSWER_BYTES)))
        code, _ = await attached.ended()
        assert code is not grpc.StatusCode.OK
        assert (await asking).status == 503


async def test_a_stream_that_breaks_is_asked_again_elsewhere() -> None:
    async with reachable(route()) as hub, stream(hub) as dying, stream(hub) as other:
        await dying.hello()
        asking = hub.service.asking()
        await dying.questions()
        await other.hello(instance="two")
        dying.call.cancel()
        await other.answer(answer((await other.questions())[0].id))
        assert await asking == [{"a": "1"}]
        left = await hub.service.events.first(InstanceLeft)
        assert left.instance == "one"


async def test_who_is_leaving_finishes_and_gets_no_more() -> None:
    async with reachable(route(wait_for_absent_s=0.1)) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking("fb-1")
        (question,) = await attached.questions()
        await attached.send(leaving=registry_pb2.Leaving())
        await leaving(hub)
        assert (await hub.service.refusal("fb-2")).reason == "backend_absent"
        await attached.answer(answer(question.id))
        assert await asking == [{"a": "1"}]
        await attached.call.done_writing()
        assert (await attached.ended())[0] is grpc.StatusCode.OK
        await hub.service.events.first(InstanceLeft)


async def leaving(hub: Hub) -> None:
    """Return when the one instance is leaving."""
    (instance,) = hub.service.directory.instances("images")
    while instance.state != "leaving":  # noqa: ASYNC110 - nothing is told when it changes, and nothing needs to be.
        await asyncio.sleep(0)


async def test_a_hub_that_drains_says_so_and_waits_for_what_is_in_flight() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        asking = hub.service.asking()
        (question,) = await attached.questions()
        hub.service.membership.close()
        assert (await attached.read()).WhichOneof("kind") == "drain"
        async with stream(hub) as late:
            await late.send(**hello(instance="two"))
            assert await late.ended() == (grpc.StatusCode.UNAVAILABLE, "the hub is shutting down")
        await attached.answer(answer(question.id))
        assert await asking == [{"a": "1"}]
        assert (await attached.ended())[0] is grpc.StatusCode.OK


async def test_attaching_again_drains_the_stream_before() -> None:
    async with reachable(route()) as hub, stream(hub) as before, stream(hub) as now:
        await before.hello()
        await now.hello()
        assert (await before.read()).WhichOneof("kind") == "drain"
        assert (await before.ended())[0] is grpc.StatusCode.OK
        asking = hub.service.asking()
        await now.answer(answer((await now.questions())[0].id))
        assert await asking == [{"a": "1"}]


async def test_too_many_instances_are_exhausting() -> None:
    async with reachable(route(), max_instances=1) as hub, stream(hub) as one, stream(hub) as two:
        await one.hello()
        await two.send(**hello(instance="two"))
        assert (await two.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_store_that_fails_is_unavailable() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        hub.service.store.failing = True
        await attached.send(**hello())
        assert (await attached.ended())[0] is grpc.StatusCode.UNAVAILABLE


ADDRESS = "a.images.svc:50051"


async def test_a_registration_is_a_lease() -> None:
    async with reachable(route(), lease_s=12.5) as hub, registry(hub) as stub:
        request = registry_pb2.RegisterRequest(backend=backend_info(), address=ADDRESS)
        for _ in range(2):
            response = await stub.Register(request, metadata=IMAGES)
            assert response.ttl.ToMilliseconds() == 12_500
        assert list(hub.service.dialler.links) == [ADDRESS]
        hub.service.dialler.reach(ADDRESS)
        assert await hub.service.ask() == [{"from": ADDRESS}]
        await stub.Deregister(registry_pb2.DeregisterRequest(name="images", instance="one"), metadata=IMAGES)
        await stub.Deregister(registry_pb2.DeregisterRequest(name="images", instance="one"), metadata=IMAGES)
        assert list(hub.service.directory) == []


@pytest.mark.parametrize(
    ("fields", "metadata", "code"),
    [
        ({"address": "169.254.169.254:80"}, IMAGES, DENIED),
        ({"address": ""}, IMAGES, INVALID),
        ({"address": ADDRESS}, (), UNAUTHENTICATED),
        ({"address": ADDRESS}, OTHERS, DENIED),
        ({"address": ADDRESS, "backend": backend_info(name="strangers")}, IMAGES, DENIED),
        ({"address": ADDRESS, "backend": backend_info(instance="")}, IMAGES, INVALID),
        ({"address": ADDRESS, "backend": registry_pb2.BackendInfo()}, IMAGES, DENIED),
    ],
    ids=["an address that is not granted", "no address", "no token", "another backend's token", "a stranger",
         "no instance", "nobody"],
)  # fmt: skip
async def test_who_may_not_register_is_told_why(fields: dict[str, Any], metadata: Any, code: grpc.StatusCode) -> None:
    async with reachable(route()) as hub, registry(hub) as stub:
        request = registry_pb2.RegisterRequest(**{"backend": backend_info(), **fields})
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Register(request, metadata=metadata)
        assert refused.value.code() is code
        assert refused.value.details()
        assert hub.service.dialler.links == {}
        assert hub.service.events.of(RegistrationRefused)[0].code == code.name


@pytest.mark.parametrize(("metadata", "code"), [((), UNAUTHENTICATED), (OTHERS, DENIED)], ids=["nobody", "another"])
async def test_nobody_ends_the_lease_of_another(metadata: Any, code: grpc.StatusCode) -> None:
    async with reachable(route()) as hub, registry(hub) as stub:
        await stub.Register(registry_pb2.RegisterRequest(backend=backend_info(), address=ADDRESS), metadata=IMAGES)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Deregister(registry_pb2.DeregisterRequest(name="images", instance="one"), metadata=metadata)
        assert refused.value.code() is code
        assert len(list(hub.service.directory)) == 1


async def test_the_health_service_says_whether_the_hub_serves() -> None:
    serving = health_pb2.HealthCheckResponse
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        await hub.server.serving(yes=True)
        for service in ("", "appset_hub.v1.RegistryService"):
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == serving.SERVING
        await hub.server.serving(yes=False)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == serving.NOT_SERVING


async def test_reflection_describes_the_services_to_generic_callers() -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await call.read()).list_services_response.service
        assert {"appset_hub.v1.RegistryService", "grpc.health.v1.Health"} <= {one.name for one in listed}
        symbol = "appset_hub.v1.RegistryService"
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto
        await call.done_writing()


async def test_a_port_that_is_taken_is_named() -> None:
    async with reachable() as hub:
        service = Service()
        other = RpcServer(hub_registry(service), address=hub.address, max_answer_bytes=1, tls=None)
        with pytest.raises(CannotListen, match=f"cannot listen for gRPC on {hub.address}"):
            await other.__aenter__()
        await other.__aexit__(None, None, None)


def hub_registry(service: Service) -> Any:
    return Registry(
        membership=service.membership,
        credentials=Credentials((), KEY),
        events=service.events,
        clock=service.now,
        hub_instance="x",
        max_answer_bytes=1,
        heartbeat_s=2.0,
    )


async def test_a_backend_is_told_which_of_its_claims_never_count() -> None:
    granted = Grant(backend="images", application_sets=("fb-*",), addresses=("*",))
    backend = backend_info(application_sets=["x-*", "fb-1", "y"])
    async with reachable(route(), grants=(granted,)) as hub, stream(hub) as attached, registry(hub) as stub:
        welcome = await attached.hello(application_sets=["x-*", "fb-1"])
        assert list(welcome.ignored_application_sets) == ["x-*"]
        request = registry_pb2.RegisterRequest(backend=backend, address=ADDRESS)
        response = await stub.Register(request, metadata=IMAGES)
        assert list(response.ignored_application_sets) == ["x-*", "y"]
        hub.service.membership.configure([Grant(backend="images", application_sets=("*",), addresses=("*",))])
        renewed = await stub.Register(request, metadata=IMAGES)
        assert list(renewed.ignored_application_sets) == []


class BrokenStore(FakeStore):
    """A store with a defect: it fails in a way that no store should."""

    async def apply(self, changes: Sequence[Change]) -> None:
        raise LookupError(f"a defect with {len(changes)} changes")


async def test_a_defect_of_the_hub_in_a_call_of_a_backend_is_reported() -> None:
    async with reachable(route(), store=BrokenStore()) as hub, stream(hub) as attached:
        await attached.send(**hello())
        assert (await attached.ended())[0] is grpc.StatusCode.UNKNOWN
        fault = await hub.service.events.first(InternalFault)
        assert fault.where == "Attach"
        assert "LookupError: a defect" in fault.traceback


async def test_the_details_of_a_stream_are_told() -> None:
    async with reachable(route()) as hub:
        async with stream(hub) as attached:
            await attached.hello(version="1.2", max_in_flight=7)
        ended = await hub.service.events.first(StreamEnded)
        (opened,) = hub.service.events.of(StreamOpened)
    assert (opened.backend, opened.instance, opened.version, opened.max_in_flight) == ("images", "one", "1.2", 7)
    assert opened.claims == ("fb-*",)
    assert "127.0.0.1" in opened.peer
    assert (ended.instance, ended.peer, ended.cause) == ("one", opened.peer, "its stream ended")


async def test_the_lease_of_an_instance_whose_token_is_revoked_ends_with_the_token() -> None:
    async with reachable(route()) as hub, registry(hub) as stub:
        for instance, token in (("one", "images-token"), ("two", "images-next")):
            await stub.Register(
                registry_pb2.RegisterRequest(backend=backend_info(instance=instance), address="x.images.svc:50051"),
                metadata=(("authorization", f"Bearer {token}"),),
            )
        hub.credentials.replace([BackendAccess(backend="images", tokens=("images-next",))])
        hub.registry.recheck()
        assert [one.info.instance for one in hub.service.directory] == ["two"]


async def test_a_stream_whose_token_is_revoked_drains_and_is_ended_with_the_reason() -> None:
    async with reachable(route()) as hub, stream(hub) as attached:
        await attached.hello()
        hub.credentials.replace([BackendAccess(backend="images", tokens=("rotated",))])
        hub.registry.recheck()
        assert (await attached.call.read()).WhichOneof("kind") == "drain"
        code, details = await attached.ended()
        assert (code, details.split(":")[0]) == (UNAUTHENTICATED, "no valid credentials")
        assert hub.service.events.of(InstanceLeft)[0].cause == "its credentials are no longer valid"


@pytest.mark.parametrize("method", ["Attach", "Register", "Deregister"])
async def test_what_is_no_protobuf_is_an_invalid_argument(method: str) -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        call: Any = channel.stream_stream(f"/appset_hub.v1.RegistryService/{method}")(metadata=IMAGES)
        await call.write(b"\xff\xff\xff not protobuf")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "the message is not protobuf, or too large"
        refused = await hub.service.events.first(RegistrationRefused)
        assert refused.code == "INVALID_ARGUMENT"
        assert hub.service.events.of(InternalFault) == []


async def test_what_is_no_protobuf_on_an_open_stream_ends_it_with_an_invalid_argument() -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        call: Any = channel.stream_stream("/appset_hub.v1.RegistryService/Attach")(metadata=IMAGES)
        hello = registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=backend_info()))
        await call.write(hello.SerializeToString())
        await call.read()
        await call.write(b"\xff\xff\xff not protobuf")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("service", ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch",
                                     "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"])  # fmt: skip
async def test_what_is_no_protobuf_is_an_invalid_argument_to_the_open_services_too(service: str) -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        call: Any = channel.stream_stream(f"/{service}")()
        await call.write(b"\xff\xff\xff not protobuf")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["Attach", "Register", "Deregister"])
async def test_a_stranger_is_refused_before_anything_that_it_says_is_read(method: str) -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        call: Any = channel.stream_stream(f"/appset_hub.v1.RegistryService/{method}")()
        # Nothing is ever sent.
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_those_who_only_open_reflection_do_not_keep_others_from_it_for_long() -> None:
    async with reachable() as hub, grpc.aio.insecure_channel(hub.address) as channel:
        method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        calls: list[Any] = [channel.stream_stream(method)() for _ in range(3)]
        codes = await asyncio.gather(*(call.code() for call in calls))
        assert sorted(code.name for code in codes) == ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"]

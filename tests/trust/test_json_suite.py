"""Each place where JSON enters reads what is JSON as it stands, and refuses what is not with an error of its own.

What the standard leaves to decoders may go either way: what is taken must have been read as it stands too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from appset_hub import BackendFault
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

from backends.mistakes import Mistake
from backends.static.config import load
from tests.backends.plugin_rig import RawPlugin, attached, configure, ok
from tests.support.rpc import Attached, backend_info
from tests.trust.hubs import ADMIN_TOKEN
from tests.trust.json_suite import CASES, DUPLICATE_KEYS, Case
from tests.trust.stub import named, says
from tests.trust.wire import GETPARAMS, Caller, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.trust.bench import Bench

INVALID = grpc.StatusCode.INVALID_ARGUMENT

_QUERY_BYTES = 2000  # A request's first line holds 8190, and a byte may need three of them.

Read = Any
Refused = None


def surprise(case: Case, read: Read, *, refuses: tuple[str, ...] = ()) -> str:
    """What is wrong with what became of a file: of its value, or of ``Refused``; empty when nothing is.

    ``read`` is the value in a list of one, so that ``null`` is not taken for a refusal.
    """
    if read is Refused:
        return f"{case.name} was refused" if case.is_json and case.name not in refuses else ""
    if case.is_broken or case.name in refuses:
        return f"{case.name} was taken"
    try:
        expected = case.value
    except ValueError:
        return f"{case.name} was taken for {read}"
    return "" if written(read) == written([expected]) else f"{case.name} became {read}"


def written(value: Any) -> str:
    """As text, because 0 == False; without the order of keys and the sign of zero, in which decoders differ."""
    return json.dumps(value, sort_keys=True).replace("[-0.0]", "[0]")


def surprises(read: list[tuple[Case, Read]], *, refuses: tuple[str, ...] = ()) -> list[str]:
    return [text for case, value in read if (text := surprise(case, value, refuses=refuses))]


def refused(reply: Reply, status: int, reason: str) -> bool:
    """Whether it is this refusal; a 200 is none, and any other status fails the test."""
    if reply.status == 200:
        return False
    assert (reply.status, reply.reason) == (status, reason), reply
    return True


async def sent(port: int, token: str, method: str, path: str, body: bytes = b"") -> Reply:
    async with Caller(port, token) as caller:
        return await caller.send(caller.request(method, path, body))


def test_the_suite_is_complete() -> None:
    assert [sum(case.name.startswith(kind) for case in CASES) for kind in ("y_", "n_", "i_")] == [95, 188, 35]
    assert sum(len(case.text) for case in CASES) == 354_024


async def test_an_input_is_read_as_it_stands_or_is_a_400(bench: Bench) -> None:
    site = await bench.open()
    bench.says = named("x")
    read: list[tuple[Case, Read]] = []
    for case in CASES:
        body = b'{"applicationSetName":"r-one","input":{"parameters":{"value":%b}}}' % case.text
        reply = await sent(site.hub.http_port, "argocd-token", "POST", GETPARAMS, body)
        if refused(reply, 400, "invalid_request"):
            read.append((case, Refused))
        else:
            assert reply.names == ["x"]
            asked = json.loads(bench.backend.asked[-1].input_parameters_json)
            read.append((case, [asked["value"]]))
    assert surprises(read) == []


async def test_a_whole_body_that_is_a_file_of_the_suite_is_a_400(bench: Bench) -> None:
    site = await bench.open()
    for case in CASES:
        reply = await sent(site.hub.http_port, "argocd-token", "POST", GETPARAMS, case.text)
        assert refused(reply, 400, "invalid_request"), case.name
    assert bench.backend.asked == []


async def test_a_value_in_an_answer_leaves_as_it_came_or_is_a_502(bench: Bench) -> None:
    await bench.open()
    read: list[tuple[Case, Read]] = []
    for number, case in enumerate(CASES):
        reply = await bench.ask(says(b'[{"value":%b}]' % case.text), f"r-{number}")
        if refused(reply, 502, "answer_refused"):
            read.append((case, Refused))
        else:
            (one,) = reply.sets
            read.append((case, [one["value"]]))
    assert surprises(read, refuses=DUPLICATE_KEYS) == []


async def test_a_whole_answer_that_is_a_file_of_the_suite_is_a_502_unless_it_is_a_list_of_sets(bench: Bench) -> None:
    await bench.open()
    taken = [
        case.name
        for number, case in enumerate(CASES)
        if not refused(await bench.ask(says(case.text), f"r-{number}"), 502, "answer_refused")
    ]
    assert taken == lists_of_sets()


def lists_of_sets() -> list[str]:
    """The files that are a list of objects with keys, and of nothing else."""
    values = ((case.name, case.value) for case in CASES if case.is_json)
    return [
        name
        for name, value in values
        if isinstance(value, list) and all(isinstance(one, dict) and one for one in value)
    ]


async def test_what_an_operator_explains_is_json_or_a_400(bench: Bench) -> None:
    site = await bench.open()
    taken = set()
    for case in CASES:
        query = quote(b'{"value":%b}' % case.text)
        if len(query) <= _QUERY_BYTES:
            path = f"/api/explain?name=r-one&parameters={query}"
            reply = await sent(site.hub.admin_port, ADMIN_TOKEN, "GET", path)
            if not refused(reply, 400, "invalid_request"):
                taken.add(case.name)
    assert [name for name in taken if name.startswith("n_")] == []
    assert [case.name for case in CASES if case.is_json and case.name not in taken] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/freeze", '{"by":%b,"reason":"move"}'),
        ("/api/freeze", '{"by":"ann","reason":"move","route":%b}'),
        ("/api/unfreeze", '{"by":%b}'),
        ("/api/store/init", '{"by":%b}'),
        ("/api/held/00000000/accept", '{"by":%b}'),
        ("/api/held/00000000/accept", '{"by":"ann","unique_by":%b}'),
        ("/api/held/00000000/reject", '{"by":%b}'),
        ("/api/backends/b/forget", '{"by":%b}'),
        ("/api/backends/b/forget-keys", '{"by":%b}'),
        ("/api/routes/r/forget-keys", '{"by":%b}'),
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["as a value", "as the body"])
async def test_an_operators_words_that_are_not_json_are_a_400(
    bench: Bench, path: str, body: str, *, whole: bool
) -> None:
    site = await bench.open()
    for case in CASES:
        if case.is_broken and case.text:  # Some decisions need no body.
            data = case.text if whole else body.encode() % case.text
            reply = await sent(site.hub.admin_port, ADMIN_TOKEN, "POST", path, data)
            assert (reply.status, reply.reason) == (400, "invalid_request"), case.name
    assert (await site.admin("GET", "/api/audit"))[1] == []


async def test_an_operators_name_is_taken_as_it_stands(bench: Bench) -> None:
    site = await bench.open()
    texts = [case for case in CASES if case.is_json and case.text.startswith(b'["') and case.value != [""]]
    read: list[tuple[Case, Read]] = []
    for case in texts:
        body = b'{"by":%b,"reason":"move"}' % case.text.strip()[1:-1]
        reply = await sent(site.hub.admin_port, ADMIN_TOKEN, "POST", "/api/freeze", body)
        assert reply.status == 200, (case, reply)
        read.append((case, [[json.loads(reply.body)["by"]]]))
        await site.admin("POST", "/api/unfreeze", {"by": "ann"})
    assert len(texts) > 30
    assert surprises(read) == []


async def is_welcome(channel: grpc.aio.Channel, schema: bytes) -> bool:
    """Whether a backend with this input schema may attach; if not, it is because of what it said."""
    stub = registry_pb2_grpc.RegistryServiceStub(channel)
    stream = Attached(stub.Attach(metadata=(("authorization", "Bearer b-token"),)))
    info = backend_info(name="b", instance="two", application_sets=["c-*"], input_schema_json=schema)
    await stream.send(hello=registry_pb2.Hello(backend=info))
    try:
        return bool((await stream.call.read()).WhichOneof("kind") == "welcome")
    except grpc.aio.AioRpcError:
        code, details = await stream.ended()
        assert code is INVALID, details
        return False
    finally:
        stream.call.cancel()


async def test_an_input_schema_is_json_or_an_invalid_argument(bench: Bench) -> None:
    site = await bench.open()
    async with grpc.aio.insecure_channel(site.grpc_address) as channel:
        taken = [case for case in CASES if await is_welcome(channel, b'{"default":%b}' % case.text)]
    assert [case.name for case in taken if case.is_broken] == []
    assert [case.name for case in CASES if case.is_json and case not in taken] == []


async def test_a_plugins_answer_is_passed_on_as_it_stands_or_is_a_fault(tmp_path: Path) -> None:
    plugin = RawPlugin()
    read: list[tuple[Case, Read]] = []
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        for case in CASES:
            plugin.response = ok(b'{"output":{"parameters":[{"value":%b}]}}' % case.text)
            try:
                (one,) = await hub.ask("set")
            except BackendFault:
                read.append((case, Refused))
            else:
                read.append((case, [one["value"]]))
    assert surprises(read, refuses=DUPLICATE_KEYS) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("answers", b'{"answers":[{"parameters":[{"value":%b}]}]}'), ("sets", b'[{"value":%b}]')],
    ids=["in the configuration", "in a file that it names"],
)
def test_a_static_answer_is_read_as_it_stands_or_is_a_mistake(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "answers.json").write_text('{"answers":[{"file":"sets.json"}]}')
    file = tmp_path / f"{name}.json"
    read: list[tuple[Case, Read]] = []
    for case in CASES:
        file.write_bytes(content % case.text)
        try:
            (entry,) = load(tmp_path / "answers.json").entries
        except Mistake:
            read.append((case, Refused))
        else:
            (one,) = entry.answer.parameters
            read.append((case, [one["value"]]))
    assert surprises(read, refuses=DUPLICATE_KEYS) == []

"""Schemas of backends: the quick ones here, the others where they can be stopped. None stops the hub."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from hub.apart.processes import Processes
from hub.core.errors import CheckFailed, InputRefused, SchemaLimit
from hub.core.events import SchemaExceeded
from hub.core.registration import Malformed, NotNow
from hub.schema.schemas import JsonSchemas
from hub.service.ports import WorkLost, WorkNotStarted
from tests.support.fakes import FakeLink
from tests.support.service import Service, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import TypeVar

    T = TypeVar("T")

MIB = 1024 * 1024

TREE = {
    "$defs": {
        "node": {
            "oneOf": [
                {"type": "object", "properties": {"l": {"$ref": "#/$defs/node"}}, "required": ["l"]},
                {"type": "object", "properties": {"l": {"$ref": "#/$defs/node"}, "r": {}}, "required": ["l"]},
                {"type": "string"},
            ]
        }
    },
    "properties": {"tree": {"$ref": "#/$defs/node"}},
}
LIST = {"$defs": {"list": {"properties": {"next": {"$ref": "#/$defs/list"}}, "type": "object"}}, "$ref": "#/$defs/list"}
QUICK = {"type": "object", "required": ["branch"], "properties": {"branch": {"type": "string", "maxLength": 5}}}


def chain(hops: int) -> dict[str, Any]:
    """A schema with so many steps from one level of the input to the next, none of which is a bare reference."""
    steps = {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}, False]} for n in range(hops)}
    return {"$defs": {**steps, str(hops): {"properties": {"a": {"$ref": "#/$defs/0"}}}}, "$ref": "#/$defs/0"}


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def nested(levels: int, leaf: Any = 1, key: str = "l") -> Any:
    for _ in range(levels):
        leaf = {key: leaf}
    return leaf


class Spy:
    """Passes work on, and counts it."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.runs = 0

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:
        self.runs += 1
        return await self._processes.run(work, within_s=within_s)


class Raises:
    """A place for work that never does any."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:  # noqa: ARG002 - as the port.
        raise self._error


@pytest.fixture
async def apart() -> AsyncIterator[Spy]:
    async with Processes(most=2, memory_bytes=256 * MIB) as processes:
        yield Spy(processes)


async def refusal(schemas: JsonSchemas, schema: Any, parameters: Any) -> str:
    return await schemas.refusal(text(schema), parameters, text(parameters))


async def test_a_quick_schema_is_checked_at_once(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    assert await refusal(schemas, QUICK, {"branch": "main"}) == ""
    assert await refusal(schemas, QUICK, {"branch": "too long"}) == "$.branch: the value is longer than 5 characters"
    assert await schemas.problem(text(QUICK)) == ""
    assert apart.runs == 0


async def test_a_large_input_makes_a_quick_schema_a_slow_one(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    assert await refusal(schemas, QUICK, {"branch": "main", "more": ["x"] * 100_000}) == ""
    assert apart.runs == 1


async def test_a_recursive_schema_is_checked_in_another_process(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    assert await refusal(schemas, LIST, nested(50, {}, "next")) == ""
    assert await refusal(schemas, LIST, {"next": {"next": 1}}) == '$.next.next: the value is not of type "object"'
    assert await schemas.problem(text(LIST)) == ""
    assert apart.runs == 3


async def test_an_input_that_fitted_is_not_checked_twice(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    for _ in range(3):
        assert await refusal(schemas, LIST, {"next": {}}) == ""
    assert apart.runs == 1
    assert await refusal(schemas, LIST, {"next": 1}) != ""


@pytest.mark.parametrize("levels", [14, 16, 60])
async def test_a_wrong_leaf_of_a_recursive_choice_costs_its_own_question_only(apart: Spy, levels: int) -> None:
    schemas = JsonSchemas(apart, within_s=1.0)
    asking = asyncio.ensure_future(refusal(schemas, TREE, {"tree": nested(levels)}))
    # Others are answered before it is given up.
    assert await refusal(schemas, QUICK, {"branch": "main"}) == ""
    assert not asking.done()
    with pytest.raises(WorkLost, match=r"takes longer than 1 s|signal|more memory"):
        await asking
    assert await refusal(schemas, LIST, {"next": {}}) == ""


async def test_a_stack_that_overflows_ends_another_process(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    schema = chain(1000)
    with pytest.raises(WorkLost, match="its process ended with signal"):
        await refusal(schemas, schema, nested(300, {}, "a"))
    assert await refusal(schemas, LIST, {"next": {}}) == ""


async def test_backtracking_patterns_take_time_in_proportion(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    schema = {"properties": {f"p{n}": {"type": "string", "pattern": "^(a+)+$"} for n in range(200)}}
    value = {f"p{n}": "a" * 30 + "!" for n in range(200)}
    assert 'the value does not match "^(a+)+$"' in await refusal(schemas, schema, value)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "$.type: the value is not valid under any of the schemas listed in the 'anyOf' keyword"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "$.properties.a.pattern: not a regular expression, or one that"),
        ({"pattern": "((a{1,100}){1,100}){1,100}"}, "$.pattern: not a regular expression, or one that looks around"),
        ({"$ref": "https://example.test/s"}, "example.test"),
        ({"$ref": "#"}, '"$ref": "#" starts a chain of more than 32, or one without end'),
        ({"format": ["date"]}, '$.format: the value is not of type "string"'),
        ({"$ref": "#/allOf/" + "9" * 5000, "allOf": [{}]}, "Failed to parse array index '999"),
    ],
    ids=["type", "look around", "large pattern", "another document", "loop", "list as format", "long index"],
)
async def test_a_schema_that_cannot_be_used_is_refused_with_its_place(apart: Spy, schema: Any, words: str) -> None:
    problem = await JsonSchemas(apart, within_s=5.0).problem(text(schema))
    assert words in problem
    assert problem.isprintable()
    assert len(problem) <= 300


async def test_the_largest_schema_is_compiled_or_refused_in_another_process(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    schema = text({"properties": {f"key-{n}": {"type": "string", "pattern": f"^{n}[a-z]+$"} for n in range(4000)}})
    assert 200_000 < len(schema) < 256 * 1024
    assert isinstance(await schemas.problem(schema), str)
    assert apart.runs == 1


async def test_an_input_that_cannot_be_checked_is_a_502_and_an_event(apart: Spy) -> None:
    hub = Service(route(), schemas=JsonSchemas(apart, within_s=1.0))
    await hub.attach(FakeLink("one"), input_schema_json=text(TREE))
    refused = await hub.refusal(parameters={"tree": nested(30)})
    assert isinstance(refused, SchemaLimit)
    assert str(refused).startswith('the input cannot be checked against the schema of backend "images": it')
    (event,) = hub.events.of(SchemaExceeded)
    assert (event.backend, event.application_set_name) == ("images", "fb-1")
    # And a good one is answered.
    assert await hub.ask(parameters={"tree": "leaf"}) == [{"from": "one"}]
    assert isinstance(await hub.refusal(parameters={"tree": 1}), InputRefused)


async def test_without_a_process_nothing_passes_unchecked() -> None:
    hub = Service(route(), schemas=JsonSchemas(Raises(WorkNotStarted("too many open files")), within_s=1.0))
    with pytest.raises(NotNow, match="cannot be checked now: too many open files"):
        await hub.attach(FakeLink("one"), input_schema_json=text(LIST))
    await hub.attach(FakeLink("one"), input_schema_json=text(QUICK))
    assert isinstance(await hub.refusal(parameters={"branch": "main", "x": "x" * 200_000}), CheckFailed)
    assert await hub.ask(parameters={"branch": "main"}) == [{"from": "one"}]


class Never:
    """A place for work that never ends."""

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:  # noqa: ARG002 - as the port.
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_check_that_waits_for_a_process_ends_with_the_deadline() -> None:
    hub = Service(route(deadline_s=0.1), schemas=JsonSchemas(Never(), within_s=5.0))
    await hub.attach(FakeLink("one"), input_schema_json=text(QUICK))
    refused = await hub.refusal(parameters={"branch": "main", "x": "x" * 200_000})
    assert isinstance(refused, CheckFailed)
    assert "before the deadline" in str(refused)


async def test_a_schema_whose_compilation_never_ends_is_not_registered() -> None:
    hub = Service(route(), schemas=JsonSchemas(Raises(WorkLost("it takes longer than 1 s")), within_s=1.0))
    with pytest.raises(Malformed, match="cannot be used: to compile it takes too much: it takes longer than 1 s"):
        await hub.attach(FakeLink("one"), input_schema_json=text(LIST))


async def test_two_questions_at_once_get_their_own_verdicts(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    found = await asyncio.gather(
        *(refusal(schemas, LIST, {"next": {}} if n % 2 else {"next": n}) for n in range(20)),
    )
    assert [bool(one) for one in found] == [n % 2 == 0 for n in range(20)]


async def test_a_killed_process_fails_its_own_question_only(apart: Spy) -> None:
    schemas = JsonSchemas(apart, within_s=5.0)
    pid = await apart.run(os.getpid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkLost, match="signal 9"):
        await refusal(schemas, LIST, {"next": {}})
    assert await refusal(schemas, LIST, {"next": {}}) == ""

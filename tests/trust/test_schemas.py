"""No input passes unchecked, whatever its schema makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.stub import Stub, named

if TYPE_CHECKING:
    from tests.trust.bench import Bench

TWO: dict[str, Any] = {"b": {"application_sets": []}, "strict": {"application_sets": []}}
CHOICE = {
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
QUICK = {"properties": {"tree": {"type": "string"}}}


def tree(levels: int) -> Any:
    leaf: Any = 1
    for _ in range(levels):
        leaf = {"l": leaf}
    return leaf


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        (QUICK, 1, "input_refused"),
        (CHOICE, 1, "input_refused"),
        (CHOICE, tree(30), "schema_limit"),
        (QUICK, ["x" * 1000] * 500, "input_refused"),
    ],
    ids=["quick", "slow", "too slow", "large"],
)
async def test_an_input_that_does_not_fit_or_cannot_be_checked_is_never_answered(
    bench: Bench, schema: Any, value: Any, reason: str
) -> None:
    await bench.open(backends=TWO, route={"backends": ["b", "strict"]}, limits={"schema_time": "500ms"})
    strict = await bench.attach(Stub("strict", lambda _: named("x"), schema=schema))
    assert (await bench.ask(named("y"), tree="leaf")).status == 200
    reply = await bench.ask(named("y"), tree=value)
    assert reply.reason == reason
    assert reply.verdict.is_error
    # And nobody was asked.
    assert len(strict.asked) == 1


async def test_what_fits_one_backend_is_checked_for_the_other_too(bench: Bench) -> None:
    await bench.open(backends=TWO, route={"backends": ["strict", "b"]})
    bench.backend.schema = {**CHOICE, "required": ["more"]}
    bench.backend.cut()
    await bench.backend.attached.wait()
    await bench.attach(Stub("strict", lambda _: named("x"), schema=CHOICE))
    assert (await bench.ask(named("y"), tree="leaf", more="x")).status == 200
    assert (await bench.ask(named("y"), tree="leaf")).reason == "input_refused"

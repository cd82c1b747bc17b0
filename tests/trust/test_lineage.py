"""A question keeps its baseline when its key changes, and an ignored input makes no new one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.trust.stub import Stub, fails, named
from tests.trust.wire import Caller

if TYPE_CHECKING:
    from tests.trust.bench import Bench
    from tests.trust.wire import Reply

TEN = named(*range(10))
TWO = named(0, 1)
ROUTE = {"name": "r", "application_sets": ["r-*"], "backends": ["b"]}


async def ask(
    bench: Bench, answer: Any, *, namespace: str = "", token: str = "argocd-token", **parameters: Any
) -> Reply:
    """One question as a newer Argo CD asks it, with a namespace."""
    bench.says = answer
    body: dict[str, Any] = {"applicationSetName": "r-one", "input": {"parameters": parameters}}
    if namespace:
        body["applicationSetNamespace"] = namespace
    async with Caller(bench.site.hub.http_port, token) as caller:
        return await caller.send(caller.request("POST", "/api/v1/getparams.execute", json.dumps(body).encode()))


@pytest.mark.parametrize("restarts", [False, True], ids=["in one go", "over a restart"])
@pytest.mark.parametrize(("before", "after"), [("", "argocd"), ("argocd", "")], ids=["appears", "disappears"])
async def test_a_namespace_that_appears_or_disappears_leaves_the_baseline(
    bench: Bench, before: str, after: str, *, restarts: bool
) -> None:
    await bench.open()
    assert (await ask(bench, TEN, namespace=before)).status == 200
    if restarts:
        await bench.restart()
    assert "8 of 10" in (await ask(bench, TWO, namespace=after)).message
    assert (await ask(bench, TEN, namespace=after)).status == 200
    assert "8 of 10" in (await ask(bench, TWO, namespace=before)).message, "who still asks as before keeps his"


async def test_two_namespaces_are_two_application_sets(bench: Bench) -> None:
    await bench.open()
    await ask(bench, TEN, namespace="a")
    assert (await ask(bench, TWO, namespace="b")).status == 200


async def test_each_namespace_inherits_what_was_asked_without_one(bench: Bench) -> None:
    await bench.open()
    await ask(bench, TEN)
    assert (await ask(bench, TWO, namespace="a")).status == 409
    assert (await ask(bench, TWO, namespace="b")).status == 409


@pytest.mark.parametrize("restarts", [False, True], ids=["a reload", "a restart"])
async def test_a_renamed_client_a_renamed_route_and_a_namespace_at_once(bench: Bench, *, restarts: bool) -> None:
    site = await bench.open()
    await ask(bench, TEN)
    site.reconfigure(
        clients=[{"name": "gitops", "tokens": site.token("argocd")}], routes=[{**ROUTE, "name": "previews"}]
    )
    if restarts:
        await bench.restart()
    reply = await ask(bench, TWO, namespace="argocd")
    assert (reply.status, "8 of 10" in reply.message) == (409, True)


@pytest.mark.parametrize("restarts", [False, True], ids=["in one go", "over a restart"])
async def test_what_was_lost_before_a_rename_counts_after_it(bench: Bench, *, restarts: bool) -> None:
    await bench.open()
    for answer in (TEN, named(*range(6))):
        assert (await ask(bench, answer)).status == 200
    if restarts:
        await bench.restart()
    # 3 of 6 alone would pass: less than five.
    assert (await ask(bench, named(0, 1, 2), namespace="argocd")).status == 409


async def test_a_name_that_moves_from_claims_to_a_route_and_back_keeps_its_baseline(bench: Bench) -> None:
    site = await bench.open(routes=[], backends={"b": {"application_sets": ["r-*"]}})
    await bench.attach(Stub("b", bench.behave, instance="two", claims=["r-*"]))
    await ask(bench, TEN)
    site.reconfigure(routes=[ROUTE])
    assert "8 of 10" in (await ask(bench, TWO)).message
    await ask(bench, TEN)
    site.reconfigure(routes=[])
    assert "8 of 10" in (await ask(bench, TWO)).message


async def test_nothing_is_taken_from_a_client_or_a_route_that_still_exists(bench: Bench) -> None:
    site = await bench.open()
    clients = [{"name": name, "tokens": site.token(name)} for name in ("argocd", "other")]
    site.reconfigure(clients=clients)
    await ask(bench, TEN)
    assert (await ask(bench, TWO, token="other-token")).status == 200
    site.reconfigure(routes=[{**ROUTE, "name": "first"}, ROUTE])
    assert (await ask(bench, TWO)).status == 200


async def test_an_ignored_input_is_no_new_question_also_after_a_restart(bench: Bench) -> None:
    await bench.open(route={"guard": {"ignore_inputs": ["sha"]}})
    assert (await ask(bench, TEN, env="prod", sha="1")).status == 200
    assert "6 of 10" in (await ask(bench, named(*range(4)), env="prod", sha="2")).message
    await bench.restart()
    assert "6 of 10" in (await ask(bench, named(*range(4)), env="prod", sha="3")).message
    assert (await ask(bench, named(*range(4)), env="test", sha="3")).status == 200


async def test_without_it_each_value_is_a_new_question(bench: Bench) -> None:
    await bench.open()
    await ask(bench, TEN, env="prod", sha="1")
    assert (await ask(bench, named(*range(4)), env="prod", sha="2")).status == 200


async def test_the_cache_gives_no_answer_that_was_replaced_by_one_for_another_value(bench: Bench) -> None:
    await bench.open(route={"guard": {"ignore_inputs": ["sha"]}, "cache": {"fresh": "1m", "max": "1m"}})
    four = named(*range(4))
    assert len((await ask(bench, four, sha="1")).names) == 4
    assert len((await ask(bench, TEN, sha="1")).names) == 4, "it is fresh"
    assert len((await ask(bench, TEN, sha="2")).names) == 10
    assert (await ask(bench, four, sha="1")).status == 409


@pytest.mark.parametrize("route", [{}, {"stale_if_error": {"max_age": "1h"}}], ids=["plain", "stale"])
async def test_what_was_accepted_for_another_value_is_no_unchanged_answer(bench: Bench, route: dict[str, Any]) -> None:
    await bench.open(route={"guard": {"ignore_inputs": ["sha"]}, **route})
    four = named(*range(4))
    assert (await ask(bench, four, sha="1")).status == 200
    assert (await ask(bench, TEN, sha="2")).status == 200
    reply = await ask(bench, four, sha="1")
    assert reply.status == 409 or len(reply.names) == 10


async def test_a_freeze_gives_what_was_accepted_last_for_any_value(bench: Bench) -> None:
    await bench.open(route={"guard": {"ignore_inputs": ["sha"]}})
    assert (await ask(bench, named(*range(9)), sha="1")).status == 200
    assert (await ask(bench, TEN, sha="2")).status == 200
    await bench.site.admin("POST", "/api/freeze", {"by": "ann", "reason": "an incident"})
    assert (await ask(bench, named(*range(9)), sha="1")).status == 503
    assert (await ask(bench, TEN, sha="3")).status == 200


async def test_an_old_answer_for_an_ignored_input_is_the_one_accepted_last(bench: Bench) -> None:
    await bench.open(route={"guard": {"ignore_inputs": ["sha"]}, "stale_if_error": {"max_age": "1h"}})
    await ask(bench, named(*range(9)), sha="1")
    await ask(bench, TEN, sha="2")
    assert len((await ask(bench, fails(13), sha="1")).names) == 10
    assert len((await ask(bench, fails(13), sha="3")).names) == 10

"""A reload reaches every part of the hub at once: what was allowed before is not allowed any more."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tests.trust.hubs import until
from tests.trust.stub import Stub, named
from tests.trust.test_isolation import hang

if TYPE_CHECKING:
    from tests.trust.bench import Bench

TEN = named(*range(10))
GIVE_UP = ("POST", "/api/held/nothing/reject", {"by": "ann"})
"""A change that finds nothing to change, if the token may change anything."""


async def test_a_token_that_a_client_no_longer_has_is_refused(bench: Bench) -> None:
    site = await bench.open()
    assert (await bench.ask(TEN)).status == 200
    site.reconfigure(clients=[{"name": "argocd", "tokens": site.token("next")}])
    refused = await bench.ask(TEN)
    assert (refused.status, refused.reason) == (403, "token_wrong")
    async with site.caller("next-token") as caller:
        assert (await caller.ask("r-one", {})).status == 200


async def test_an_admin_token_that_is_no_longer_there_changes_nothing(bench: Bench) -> None:
    site = await bench.open()
    assert (await site.admin(*GIVE_UP))[0] == 404
    site.reconfigure(admin={"tokens": site.token("admin-next")})
    assert (await site.admin(*GIVE_UP))[0] == 403
    assert (await site.admin(*GIVE_UP, token="admin-next-token"))[0] == 404


async def test_a_backend_whose_token_is_revoked_is_asked_no_more_and_does_not_come_back(bench: Bench) -> None:
    site = await bench.open()
    assert (await bench.ask(TEN)).status == 200
    site.reconfigure(backends=[{"name": "b", "tokens": site.token("b-next")}])
    await bench.noticed_absence("b")
    assert (await bench.ask()).reason == "backend_absent"


async def test_a_route_that_is_gone_serves_nobody(bench: Bench) -> None:
    site = await bench.open()
    assert (await bench.ask(TEN)).status == 200
    site.reconfigure(routes=[{"name": "r", "application_sets": ["s-*"], "backends": ["b"]}])
    assert (await bench.ask()).reason == "nobody_serves"
    assert (await bench.ask(name="s-one")).status == 200


async def test_what_a_client_may_no_longer_name_is_refused(bench: Bench) -> None:
    site = await bench.open()
    site.reconfigure(clients=[{"name": "argocd", "tokens": site.token("argocd"), "application_sets": ["s-*"]}])
    refused = await bench.ask(TEN)
    assert (refused.status, refused.reason) == (403, "not_allowed")


async def test_a_claim_counts_only_inside_the_grant_of_now(bench: Bench) -> None:
    site = await bench.open()
    await bench.attach(Stub("b", lambda _: TEN, instance="two", claims=["c-*"]))
    assert (await bench.ask(name="c-one")).status == 200
    site.reconfigure(backends=[{"name": "b", "tokens": site.token("b"), "application_sets": ["d-*"]}])
    assert (await bench.ask(name="c-one")).reason == "nobody_serves"


async def test_a_second_client_gets_its_part_of_a_route(bench: Bench) -> None:
    site = await bench.open(route={"max_in_flight": 8})
    site.reconfigure(clients=[{"name": name, "tokens": site.token(name)} for name in ("argocd", "other")])
    async with AsyncExitStack() as stack:
        await hang(bench, stack, *(f"r-{number}" for number in range(6)))
        assert (await bench.ask(name="r-6")).reason == "client_limit"


async def test_what_needs_a_restart_is_named(bench: Bench) -> None:
    site = await bench.open()
    site.reconfigure(limits={"max_sets": 5})
    _, document = await site.admin("GET", "/readyz")
    assert document["needs_restart"] == ["limits"]
    assert (await bench.ask(TEN)).status == 200, "the limit of before is in force"


async def test_a_backend_that_is_called_elsewhere_is_asked_there(bench: Bench) -> None:
    site = await bench.open()
    other = Stub("w", lambda _: named("w"))
    site.reconfigure(backends=[{"name": name, "tokens": site.token(name)} for name in ("b", "w")])
    await bench.attach(other)
    site.reconfigure(routes=[{"name": "r", "application_sets": ["r-*"], "backends": ["w"]}])
    assert (await bench.ask(TEN)).sets == [{"name": "w"}]
    await until(lambda: len(other.asked) == 1, "it was asked")
    assert bench.backend.asked == []

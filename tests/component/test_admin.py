"""The port for operators, on a real socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from hub.core.answer import Notice
from hub.core.events import AnswerNoticed, InternalFault
from hub.core.tokens import TokenRing
from hub.http.admin import Admin, Readiness
from hub.http.getparams import RequestIds
from hub.telemetry.metrics import Metrics
from tests.support.fakes import FakeLink, Says, sets
from tests.support.service import Service, guarded_by_default, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = b"k" * 32
NO_TOKENS: TokenRing[str] = TokenRing((), KEY)
ADMIN = TokenRing([("admin-token", "admin")], KEY)


class Kept:
    """Notices, as telemetry keeps them."""

    notices = (
        AnswerNoticed(
            backend="images", route="r", application_set_name="fb-1", notice=Notice(kind="null_value", text="t")
        ),
    )


class Port:
    """The running admin port."""

    def __init__(self, service: Service, session: aiohttp.ClientSession, admin: Admin, readiness: Readiness) -> None:
        self.service = service
        self.session = session
        self.admin = admin
        self.readiness = readiness

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.call("GET", path)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, path, **more) as response:
            text = await response.text()
            assert response.headers["Content-Type"].startswith("application/json")
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def admin_port(service: Service, tokens: TokenRing[str] = NO_TOKENS) -> AsyncIterator[Port]:
    registry, readiness = CollectorRegistry(), Readiness()
    Metrics(registry, "1.2.3")
    readiness.missing = ()
    admin = Admin(
        overview=service.overview,
        membership=service.membership,
        guard=service.guard,
        notices=Kept(),
        metrics=registry,
        readiness=readiness,
        tokens=tokens,
        request_ids=RequestIds("admin"),
        events=service.events,
    )
    runner = web.AppRunner(admin.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield Port(service, session, admin, readiness)
    finally:
        await runner.cleanup()


async def test_probes_say_whether_the_hub_lives_and_what_it_waits_for() -> None:
    async with admin_port(Service(route("previews"))) as port:
        assert await port.get("/livez") == (200, {"live": True})
        assert await port.get("/healthz") == (200, {"live": True})
        assert await port.get("/readyz") == (200, {"ready": True, "missing": [], "absent_backends": ["images"]})
        port.readiness.missing = ("the hub is draining",)
        status, body = await port.get("/readyz")
        assert (status, body["ready"], body["missing"]) == (503, False, ["the hub is draining"])


def test_a_hub_is_not_ready_before_it_has_started() -> None:
    assert Readiness().missing == ("the hub is starting",)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
    ids=["text", "OpenMetrics"],
)
async def test_metrics_come_in_the_form_that_is_asked_for(accept: str, content_type: str) -> None:
    async with admin_port(Service()) as port, port.session.get("/metrics", headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"].startswith(content_type)
        assert 'appset_hub_build_info{version="1.2.3"} 1.0' in await response.text()


async def test_an_operator_sees_the_hub_as_lists_of_objects() -> None:
    service = Service(route("previews"))
    await service.attach(FakeLink("one"), "images", "fb-*")
    async with admin_port(service) as port:
        _, routes = await port.get("/api/routes")
        assert [one["name"] for one in routes] == ["previews"]
        _, backends = await port.get("/api/backends")
        assert [(one["name"], one["state"]) for one in backends] == [("images", "ready"), ("owners", "absent")]
        _, notices = await port.get("/api/notices")
        assert notices[0]["notice"]["text"] == "t"
        _, explained = await port.get("/api/explain?name=fb-1")
        assert (explained["route"], explained["backends"]) == ("previews", ["images"])
        _, explained = await port.get('/api/explain?name=fb-1&route=nowhere&parameters={"a":1}')
        assert explained["refusal"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/explain", 400, "invalid_request"),
        ("GET", "/api/explain?name=a&parameters=[", 400, "invalid_request"),
        ("GET", "/api/explain?name=a&parameters=[]", 400, "invalid_request"),
        ("GET", "/api/explain?name=a&parameters=" + "[" * 1500, 400, "invalid_request"),
        ("GET", '/api/explain?name=a&parameters={"a":"%ff"', 400, "invalid_request"),
        ("GET", "/api/history", 400, "invalid_request"),
        ("GET", "/", 404, "unknown_path"),
        ("GET", "/api/v1/getparams.execute", 404, "unknown_path"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("GET", "/api/backends/images/forget", 405, "method_not_allowed"),
        ("POST", "/api/backends/strangers/forget", 404, "unknown_path"),
        ("POST", "/api/held/deadbeef/accept", 400, "invalid_request"),
    ],
)
async def test_what_is_wrong_is_said_in_json(method: str, path: str, status: int, reason: str) -> None:
    async with admin_port(Service()) as port:
        found, body = await port.call(method, path)
        assert (found, body["error"]) == (status, reason)
        assert body["message"]


async def test_a_405_says_what_is_allowed() -> None:
    async with admin_port(Service()) as port, port.session.post("/api/routes") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer admin-token"}, 200),
        ({"Authorization": "Bearer admin-token", "Origin": "https://evil.example"}, 403),
    ],
    ids=["no token", "a wrong token", "the token", "a web page"],
)
async def test_what_changes_state_needs_the_admin_token(headers: dict[str, str], status: int) -> None:
    service = Service(claims={"images": ("fb-*",)})
    async with admin_port(service, ADMIN) as port:
        found, body = await port.call("POST", "/api/backends/images/forget", headers=headers)
        assert found == status
        if status == 200:
            assert body == {"backend": "images", "forgotten": ["fb-*"]}
        assert service.directory.registered_claim("images") == (() if status == 200 else ("fb-*",))
        assert (await port.get("/api/backends"))[0] == 200, "reading needs none"


async def test_without_admin_tokens_a_caller_on_this_machine_may() -> None:
    async with admin_port(Service()) as port:
        assert (await port.call("POST", "/api/backends/images/forget"))[0] == 200
        assert (await port.call("POST", "/api/backends/images/forget", headers={"Origin": "http://x"}))[0] == 403


async def test_new_admin_tokens_count_from_the_next_request_on() -> None:
    async with admin_port(Service()) as port:
        port.admin.replace_tokens(ADMIN)
        assert (await port.call("POST", "/api/backends/images/forget"))[0] == 403


async def test_a_store_that_fails_is_a_503() -> None:
    service = Service(claims={"images": ("fb-*",)})
    service.store.failing = True
    async with admin_port(service) as port:
        status, body = await port.call("POST", "/api/backends/images/forget")
        assert (status, body["error"]) == (503, "store_failed")


async def test_a_defect_is_a_500_without_its_details() -> None:
    service = Service()
    async with admin_port(service) as port:
        service.store.apply = Says(RuntimeError("secret detail"))  # type: ignore[method-assign, assignment]
        status, body = await port.call("POST", "/api/backends/images/forget")
        assert (status, body) == (500, {"message": "the hub failed; its log says why", "error": "internal_error"})
        assert service.events.of(InternalFault)[0].where == "admin"


def numbered(count: int) -> Any:
    return sets(*({"n": str(number)} for number in range(count)))


async def test_an_operator_sees_what_is_held_and_decides() -> None:
    service = Service(guarded_by_default())
    await service.attach(FakeLink("one", Says(numbered(10), numbered(1))))
    await service.ask()
    await service.refusal()
    async with admin_port(service) as port:
        _, (held,) = await port.get("/api/held")
        assert (held["went"], held["before"], held["subject"]["application_set_name"]) == (9, 10, "fb-1")
        path = f"/api/held/{held['id']}"
        assert (await port.call("POST", f"{path}/accept", data=b'{"who":"ada"}'))[0] == 400
        assert (await port.call("POST", f"{path}/accept", data=b'{"by":""}'))[0] == 400
        deep = b'{"by":"ada","why":' + b"[" * 9000 + b"]" * 9000 + b"}"
        assert (await port.call("POST", f"{path}/accept", data=deep))[0] == 400
        assert (await port.call("POST", f"{path}/accept", data=b'{"by":"\xff"}'))[0] == 400
        status, decided = await port.call("POST", f"{path}/reject", data=b'{"by":"ada"}')
        assert (status, decided["decision"], decided["decided_by"]) == (200, "rejected", "ada")
        assert (await port.call("POST", f"{path}/accept", data=b'{"by":"bob"}'))[1]["decision"] == "accepted"
        assert len(await service.ask()) == 1
        assert await port.get("/api/held") == (200, [])
        assert (await port.call("POST", f"{path}/accept", data=b'{"by":"ada"}'))[0] == 404
        _, audit = await port.get("/api/audit")
        assert [(entry["action"], entry["who"]) for entry in audit] == [
            ("reject", "ada"),
            ("accept", "bob"),
            ("passed", "bob"),
        ]
        _, (history,) = await port.get("/api/history?name=fb-1")
        assert [change["went"] for change in history["changes"]] == [0, 9]

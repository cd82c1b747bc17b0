"""The port for operators, on a real socket."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from hub.core.events import InternalFault
from hub.http.admin import Readiness
from tests.support.admin import ADMIN, admin_port
from tests.support.fakes import FakeLink, Says, sets
from tests.support.service import Service, guarded_by_default, route


async def test_probes_say_whether_the_hub_lives_and_what_it_waits_for() -> None:
    async with admin_port(Service(route("previews"))) as port:
        assert await port.get("/livez") == (200, {"live": True})
        assert await port.get("/healthz") == (200, {"live": True})
        ready = {
            "ready": True,
            "missing": [],
            "absent_backends": ["images"],
            "never_seen_backends": [],
            "needs_restart": [],
            "failing_tasks": [],
            "frozen": [],
            "kept_questions": {"kept": 0, "limit": 1000, "over": False, "full": False},
            "store": {"state": "initialised", "id": "5707e", "created_at_s": 1.0, "lasting": True, "problem": ""},
        }
        assert await port.get("/readyz") == (200, ready)
        port.readiness.needs_restart = ("listen.http",)
        assert await port.get("/readyz") == (200, {**ready, "needs_restart": ["listen.http"]})
        port.readiness.failing = lambda: ("reload",)
        assert (await port.get("/readyz"))[1]["failing_tasks"] == ["reload"]
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
        ("GET", "/api/explain?name=a&parameters=" + '{"a":' + "[" * 1500, 400, "invalid_request"),
        ("GET", '/api/explain?name=a&parameters={"a":"%ff"', 400, "invalid_request"),
        ("GET", "/api/history", 400, "invalid_request"),
        ("GET", "/", 404, "unknown_path"),
        ("GET", "/api/v1/getparams.execute", 404, "unknown_path"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("GET", "/api/backends/images/forget", 405, "method_not_allowed"),
        ("POST", "/api/backends/strangers/forget", 404, "unknown_backend"),
        ("POST", "/api/held/deadbeef/nothing", 404, "unknown_path"),
        ("POST", "/api/held/deadbeef/accept", 400, "invalid_request"),
    ],
)
async def test_what_is_wrong_is_said_in_json(method: str, path: str, status: int, reason: str) -> None:
    async with admin_port(Service()) as port:
        found, body = await port.call(method, path)
        assert (found, body["error"]) == (status, reason)
        assert body["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["no HTTP", "a TLS handshake", "a line that is too long"],
)
async def test_what_is_not_http_is_refused_in_json_too(data: bytes) -> None:
    async with admin_port(Service()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(data)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.partition(b" ")[2].startswith(b"400 ")
        assert b"X-Request-Id: admin-" in head
        assert b"Content-Type: application/json\r\n" in head
        assert json.loads(body)["error"] == "invalid_request"
        assert "admin port, without TLS" in json.loads(body)["message"]


async def test_a_body_that_is_too_large_is_a_413() -> None:
    async with admin_port(Service()) as port:
        status, body = await port.call("POST", "/api/held/deadbeef/accept", data=io.BytesIO(b"x" * 2_000_000))
        assert (status, body["error"]) == (413, "body_too_large")


async def test_an_argo_cd_that_calls_the_admin_port_reads_which_port_it_needs() -> None:
    async with admin_port(Service(), ADMIN) as port:
        status, body = await port.call("POST", "/api/v1/getparams.execute", data=b"{}")
        assert (status, body["error"]) == (404, "unknown_path")
        assert "baseUrl needs the HTTP port" in body["message"]


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ({}, "token_missing", "--admin-token-file"),
        ({"Authorization": "Bearer wrong"}, "token_wrong", "none of admin.tokens"),
        ({"Authorization": "Bearer $plugin.token"}, "token_wrong", "none of admin.tokens"),
    ],
    ids=["no token", "a wrong token", "a reference"],
)
async def test_a_refused_operator_reads_about_admin_tokens_and_not_about_argo_cd(
    headers: dict[str, str], reason: str, words: str
) -> None:
    async with admin_port(Service(), ADMIN) as port:
        status, body = await port.call("POST", "/api/held/deadbeef/accept", data=b'{"by":"ada"}', headers=headers)
        assert (status, body["error"]) == (403, reason)
        assert words in body["message"]
        assert "ConfigMap" not in body["message"]


async def test_a_backend_that_is_forgotten_is_in_the_audit_log() -> None:
    async with admin_port(Service(claims={"images": ("fb-*", "pr-*")})) as port:
        assert (await port.call("POST", "/api/backends/images/forget", data=b'{"by":"ada"}'))[0] == 200
        _, (entry,) = await port.get("/api/audit")
        assert (entry["action"], entry["who"], entry["backend"]) == ("forget", "ada", "images")
        assert entry["patterns"] == ["fb-*", "pr-*"]
        assert (await port.call("POST", "/api/backends/images/forget", data=b'{"who":"ada"}'))[0] == 400


async def test_what_cannot_be_written_is_not_forgotten_and_not_in_the_audit_log() -> None:
    service = Service(claims={"images": ("fb-*",)})
    async with admin_port(service) as port:
        service.store.failing = True
        assert (await port.call("POST", "/api/backends/images/forget", data=b'{"by":"ada"}'))[0] == 503
        assert service.directory.registered_claim("images") == ("fb-*",)
        assert await port.get("/api/audit") == (200, [])


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
            assert body == {"backend": "images", "forgotten": ["fb-*"], "never_seen": False}
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

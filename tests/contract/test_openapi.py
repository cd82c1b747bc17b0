"""Both ports do what their OpenAPI document says: each path is called, and what comes fits its schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from tests.support.admin import ADMIN, admin_port
from tests.support.fakes import FakeLink, Says, sets
from tests.support.http import PATH, post, served
from tests.support.service import Service, guarded_by_default

if TYPE_CHECKING:
    from tests.support.admin import Port

DOCUMENT: dict[str, Any] = json.loads(files("hub.http").joinpath("openapi.json").read_text("utf-8"))
TEN = [{"name": f"app-{number}"} for number in range(10)]
TOKEN = {"Authorization": "Bearer admin-token"}
WHO = {"by": "ada"}


def check(method: str, path: str, status: int, body: Any) -> None:
    """What came is what the document says of this status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} is not said to end with {status}: {body}"
    schema = {**responses[str(status)]["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, body)


class Called:
    """Calls paths of the admin port, checks what comes, and remembers which were called."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self.paths: set[tuple[str, str]] = set()

    async def __call__(
        self, method: str, path: str, status: int, *, body: Any = None, query: str = "", **names: str
    ) -> Any:
        self.paths.add((method.lower(), path))
        headers = TOKEN if method == "POST" else {}
        found, said = await self._port.call(method, path.format(**names) + query, headers=headers, json=body)
        assert found == status, said
        check(method, path, found, said)
        return said


async def held(hub: Service) -> None:
    """An answer is accepted, and one that has lost too much is held."""
    link = FakeLink("one", Says(sets(*TEN)))
    await hub.attach(link)
    await hub.ask()
    link.behaviour = Says(sets(TEN[0]))
    assert (await hub.refusal()).reason == "answer_held"


async def test_every_path_of_the_admin_port_does_what_the_document_says() -> None:
    hub = Service(guarded_by_default())
    await held(hub)
    async with admin_port(hub, ADMIN) as port:
        call = Called(port)
        for path in ("/livez", "/healthz", "/readyz", "/api/routes", "/api/backends", "/api/notices", "/api/freezes",
                     "/api/store", "/api/audit", "/api/openapi.json"):  # fmt: skip
            await call("GET", path, 200)
        await call("GET", "/api/explain", 200, query="?name=fb-1")
        await call("GET", "/api/explain", 400)
        await call("GET", "/api/history", 200, query="?name=fb-1")
        (one,) = await call("GET", "/api/held", 200)
        await call("POST", "/api/held/{id}/accept", 404, body=WHO, id="nothing")
        await call("POST", "/api/held/{id}/accept", 400, body={}, id=one["id"])
        await call("POST", "/api/held/{id}/accept", 409, body={**WHO, "unique_by": ["nowhere"]}, id=one["id"])
        await call("POST", "/api/held/{id}/accept", 200, body={**WHO, "unique_by": ["name"]}, id=one["id"])
        await call("POST", "/api/held/{id}/reject", 200, body=WHO, id=one["id"])
        await call("POST", "/api/held/{id}/reject", 404, body=WHO, id="nothing")
        await call("POST", "/api/freeze", 200, body={**WHO, "reason": "an emergency"})
        await call("GET", "/api/freezes", 200)
        await call("GET", "/readyz", 200)
        await call("POST", "/api/freeze", 404, body={**WHO, "reason": "why", "route": "nowhere"})
        await call("POST", "/api/unfreeze", 200, body=WHO)
        for kind in ("routes", "backends"):
            await call("POST", f"/api/{kind}/{{name}}/forget-keys", 404, body=WHO, name="nobody")
        await call("POST", "/api/routes/{name}/forget-keys", 200, body=WHO, name="previews")
        await call("POST", "/api/backends/{name}/forget-keys", 200, body=WHO, name="images")
        await call("POST", "/api/backends/{name}/forget", 200, body=WHO, name="images")
        await call("POST", "/api/backends/{name}/forget", 404, body=WHO, name="nobody")
        await call("POST", "/api/store/init", 200, body=WHO)
        await call("GET", "/api/audit", 200)
        port.readiness.missing = ("the hub is draining",)
        await call("GET", "/readyz", 503)
        operations = {
            (method, path)
            for path, one in DOCUMENT["paths"].items()
            for method in one
            if method in ("get", "post") and not path.endswith(PATH) and path != "/metrics"
        }
        assert operations - call.paths == set()


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_have_a_media_type_that_the_document_gives(accept: str) -> None:
    [content] = [one["content"] for one in DOCUMENT["paths"]["/metrics"]["get"]["responses"].values()]
    async with (
        admin_port(Service(guarded_by_default())) as port,
        port.session.get("/metrics", headers={"Accept": accept}) as response,
    ):
        assert response.content_type in content


async def test_a_change_without_a_token_is_the_403_of_the_document() -> None:
    async with admin_port(Service(guarded_by_default()), ADMIN) as port:
        for path, one in DOCUMENT["paths"].items():
            if "post" in one and not path.endswith(PATH):
                status, body = await port.call("POST", path.format(name="a", id="b"), json=WHO)
                assert status == 403
                check("POST", path, status, body)


@pytest.mark.parametrize("path", [PATH, f"/previews{PATH}"])
async def test_the_port_for_argo_cd_does_what_the_document_says(path: str) -> None:
    listed = PATH if path == PATH else f"/{{route}}{PATH}"
    cases = [
        (post(path=path), 200),
        (post(b"[]", path=path), 400),
        (post(path=path, token="wrong"), 403),
        (post(b"x" * 2000, path=path), 413),
        (post(path=path, content_encoding="gzip"), 415),
    ]
    async with served() as server:
        for data, status in cases:
            reply = await server.ask(data)
            assert reply.status == status
            check("POST", listed, status, reply.json)


def test_the_document_is_served_as_it_is_shipped() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    names = [one[method]["operationId"] for one in DOCUMENT["paths"].values() for method in one if method != "servers"]
    assert len(names) == len(set(names)) > 20

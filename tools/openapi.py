"""The OpenAPI document of both HTTP ports: ``hub/http/openapi.json``, which the hub ships and serves.

What the paths are for stands here; bodies and answers come from the types that the hub encodes and decodes. A path of
the admin port that is missing here, or is here only, is an error.
"""

import inspect
import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub import __version__
from hub.core.errors import HubError, leaves
from hub.core.events import AnswerNoticed
from hub.core.freezes import Freeze
from hub.core.guard import AuditEntry, HeldAnswer, History
from hub.core.question import GETPARAMS, MAX_NAME_CHARS
from hub.http.admin import Acceptance, Admin, Decision, Live, Ready, ToFreeze, ToUnfreeze
from hub.service.freezing import FreezeView
from hub.service.keeping import Initialised, StoreView
from hub.service.membership import Forgotten
from hub.service.overview import BackendView, ExplainView, RouteView
from hub.service.taught import KeysForgottenView

_REFERENCE = "#/components/schemas/{name}"
_REFUSAL = {"$ref": "#/components/schemas/Refusal"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path: what it is for, what it takes, what a 200 has, and how else it may end."""

    method: str
    path: str
    name: str
    what: str
    gives: Any
    takes: Any = None
    query: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    also: tuple[int, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it needs an admin token."""
        return self.method == "post"


def _get(path: str, name: str, what: str, gives: Any, **more: Any) -> Operation:
    return Operation(method="get", path=path, name=name, what=what, gives=gives, **more)


def _post(  # noqa: PLR0913, PLR0917 - the columns of a table.
    path: str, name: str, what: str, gives: Any, takes: Any, also: tuple[int, ...] = ()
) -> Operation:
    return Operation(
        method="post", path=path, name=name, what=what, gives=gives, takes=takes, also=(400, 403, 413, *also)
    )


ADMIN = (
    _get("/metrics", "metrics", "Metrics, as OpenMetrics or Prometheus text.", str),
    _get("/livez", "live", "200 while the process works.", Live),
    _get("/healthz", "healthy", "The same as /livez.", Live),
    _get("/readyz", "ready", "200 when the hub serves, 503 when not; what is missing or not in force.", Ready),
    _get("/api/openapi.json", "openapi", "This document.", dict[str, Any]),
    _get("/api/routes", "routes", "The configured routes, in order.", list[RouteView]),
    _get("/api/backends", "backends", "The configured backends, their claims and instances.", list[BackendView]),
    _get("/api/notices", "notices", "The latest risky things in answers.", list[AnswerNoticed]),
    _get(
        "/api/explain",
        "explain",
        "Where a question would go, and why.",
        ExplainView,
        query={
            "name": "The applicationSetName.",
            "route": "The route in the path of baseUrl.",
            "parameters": "The input parameters, a JSON object.",
        },
        required=("name",),
        also=(400, 503),
    ),
    _get("/api/held", "held", "Answers that the guard holds.", list[HeldAnswer]),
    _get(
        "/api/history",
        "history",
        "Which sets were added and removed in the answers for an ApplicationSet.",
        list[History],
        query={"name": "The applicationSetName."},
        required=("name",),
        also=(400, 503),
    ),
    _get("/api/audit", "audit", "Who decided what, oldest first.", list[AuditEntry], also=(503,)),
    _get("/api/freezes", "freezes", "What is frozen.", list[Freeze]),
    _get("/api/store", "store", "The hub's store.", StoreView),
    _post("/api/store/init", "initStore", "Start with an empty store.", Initialised, Decision, (503,)),
    _post("/api/freeze", "freeze", "Refuse changed answers of a route, or of all.", FreezeView, ToFreeze, (404, 503)),
    _post("/api/unfreeze", "unfreeze", "Lift a freeze.", FreezeView, ToUnfreeze, (503,)),
    _post(
        "/api/backends/{name}/forget",
        "forgetBackend",
        "Forget what a backend claimed in the past.",
        Forgotten,
        Decision,
        (404, 503),
    ),
    _post(
        "/api/backends/{name}/forget-keys",
        "forgetKeysOfBackend",
        "Forget the keys that were taught for a backend.",
        KeysForgottenView,
        Decision,
        (404, 503),
    ),
    _post(
        "/api/routes/{name}/forget-keys",
        "forgetKeysOfRoute",
        "Forget the keys that were taught for a route.",
        KeysForgottenView,
        Decision,
        (404, 503),
    ),
    _post("/api/held/{id}/accept", "accept", "Accept a held answer.", HeldAnswer, Acceptance, (404, 409, 503)),
    _post("/api/held/{id}/reject", "reject", "Reject a held answer.", HeldAnswer, Decision, (404, 503)),
)

_CALL = {
    "type": "object",
    "required": ["applicationSetName"],
    "properties": {
        "applicationSetName": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS},
        "applicationSetNamespace": {"type": "string", "maxLength": MAX_NAME_CHARS},
        "input": {"type": "object", "properties": {"parameters": {"type": "object"}}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["output"],
    "additionalProperties": False,
    "properties": {
        "output": {
            "type": "object",
            "required": ["parameters"],
            "additionalProperties": False,
            "properties": {"parameters": {"type": "array", "items": {"type": "object", "minProperties": 1}}},
        }
    },
}


def page() -> str:
    """The whole document."""
    check_paths()
    kinds = [kind for one in ADMIN for kind in (one.takes, one.gives) if kind not in (None, str, dict[str, Any])]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    paths: dict[str, Any] = {GETPARAMS: _getparams(()), f"/{{route}}{GETPARAMS}": _getparams(("route",))}
    for one in ADMIN:
        shared = paths.setdefault(one.path, {"servers": [{"url": "http://appset-hub:4357"}]})
        shared[one.method] = _operation(one)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "AppSet Hub",
            "version": __version__,
            "description": "The port for Argo CD's ApplicationSet plugin generator, and the port for operators.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {"Call": _CALL, "Answer": _ANSWER, "Refusal": _refusal(), **dict(sorted(components.items()))},
            "securitySchemes": {
                "client": {"type": "http", "scheme": "bearer", "description": "A client's token."},
                "admin": {"type": "http", "scheme": "bearer", "description": "An admin token, if any is configured."},
            },
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def check_paths() -> None:
    """Compare the table with the paths that the admin port serves.

    Raises:
        SystemExit: they differ.
    """
    unused = dict.fromkeys(inspect.signature(Admin).parameters)
    routes = Admin(**unused).app().router.routes()  # type: ignore[arg-type]  # None is asked.
    served = {(one.method.lower(), one.resource.canonical) for one in routes if one.resource and one.method != "HEAD"}
    listed = {(one.method, one.path) for one in ADMIN}
    if served != listed:
        raise SystemExit(f"tools/openapi.py and the admin port differ: {sorted(served ^ listed)}")


def _getparams(parameters: tuple[str, ...]) -> dict[str, Any]:
    statuses = sorted({leaf.status for leaf in leaves()} - {404, 409})
    return {
        "servers": [{"url": "http://appset-hub:4355"}],
        "post": {
            "operationId": "getparamsOfRoute" if parameters else "getparams",
            "summary": "The parameter sets of an ApplicationSet.",
            "security": [{"client": []}],
            "parameters": [_in_path(name) for name in parameters],
            "requestBody": _content({"$ref": "#/components/schemas/Call"}, required=True),
            "responses": {
                "200": {
                    "description": "The complete list.",
                    **_content({"$ref": "#/components/schemas/Answer"}),
                    "headers": {
                        "X-AppSet-Hub-Answer": {
                            "description": "`stale`, if the last accepted answer stands in for an error.",
                            "schema": {"type": "string"},
                        },
                        "Age": {"description": "Its age in seconds.", "schema": {"type": "integer"}},
                    },
                },
                **{str(status): _refused(status) for status in sorted({*statuses, 404, 409})},
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    in_path = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.what,
        "parameters": [
            *(_in_path(name) for name in in_path),
            *(
                {
                    "name": name,
                    "in": "query",
                    "required": name in one.required,
                    "description": text,
                    "schema": {"type": "string"},
                }
                for name, text in one.query.items()
            ),
        ],
        "responses": {"200": {"description": "OK", **_given(one.gives)}},
    }
    if one.path == "/readyz":
        found["responses"]["503"] = {"description": "Not ready.", **_given(one.gives)}
    if one.changes:
        found["security"] = [{"admin": []}]
        found["requestBody"] = _content(_schema(one.takes), required=True)
    found["responses"] |= {str(status): _refused(status) for status in one.also}
    return found


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _content(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**more, "content": {"application/json": {"schema": schema}}}


def _given(kind: Any) -> dict[str, Any]:
    if kind is not str:
        return _content(_schema(kind))
    # What the Accept header prefers, as Prometheus does.
    return {"content": {one: {"schema": {"type": "string"}} for one in ("text/plain", "application/openmetrics-text")}}


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    return schema


def _refused(status: int) -> dict[str, Any]:
    reasons = sorted(leaf.reason for leaf in leaves() if leaf.status == status)
    return {"description": ", ".join(reasons), **_content(_REFUSAL)}


def _refusal() -> dict[str, Any]:
    found: list[type[HubError]] = leaves()
    return {
        "type": "object",
        "required": ["message", "error"],
        "additionalProperties": False,
        "properties": {
            "message": {"type": "string"},
            "error": {"type": "string", "enum": sorted({leaf.reason for leaf in found})},
        },
    }

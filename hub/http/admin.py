"""The port for operators: metrics, probes, and the API behind the commands.

Reading is open to whoever reaches the port; what changes state needs the admin token or, if none is configured, a
caller on this machine.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from hub.core.errors import (
    BodyTooLarge,
    HubError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotAllowed,
    NotHeld,
    TokenMissing,
    TokenWrong,
    UnknownBackend,
    UnknownPath,
    UnknownRoute,
)
from hub.core.events import InternalFault
from hub.core.freezes import MAX_REASON_CHARS, Freeze
from hub.core.guard import MAX_WHO_CHARS
from hub.core.keys import MAX_KEY_CHARS, MAX_KEYS
from hub.core.nesting import check_levels
from hub.core.routes import CLAIMED
from hub.core.tokens import bearer
from hub.http import reply
from hub.service.eviction import KeptView  # noqa: TC001 - as above.
from hub.service.held import NoSuchHeldAnswer
from hub.service.keeping import StoreView  # noqa: TC001 - as above.

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

    from hub.core.events import AnswerNoticed
    from hub.core.guard import AuditEntry, HeldAnswer, History
    from hub.core.tokens import TokenRing
    from hub.http.getparams import RequestIds
    from hub.service.freezing import FreezeView
    from hub.service.keeping import Initialised
    from hub.service.membership import Forgotten
    from hub.service.overview import Overview
    from hub.service.ports import Events
    from hub.service.taught import KeysForgottenView

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode

_OPENAPI = files("hub.http").joinpath("openapi.json")

_NEEDS_ADMIN = (
    "changing the hub's state needs an admin token: name its file with --admin-token-file or HUB_ADMIN_TOKEN_FILE, "
    "or send it as a bearer token"
)
_NOT_ADMIN = (
    "wrong admin token: it matches none of admin.tokens in the hub's configuration; check the file that "
    "--admin-token-file, HUB_ADMIN_TOKEN_FILE or your hub.yaml names. Client and backend tokens are not accepted here"
)
_NOT_LOCAL = (
    "without admin.tokens in the hub's configuration, only callers on the hub's own machine may change its state; run "
    "the command there, or configure an admin token"
)
_FREEZE_BODY = (
    'the body must be {"by": "NAME", "reason": "TEXT", "route": "ROUTE"}, with a reason of one line and at most '
    f"{MAX_REASON_CHARS} characters; without a route, all are frozen"
)
_UNFREEZE_BODY = (
    'the body must be {"by": "NAME", "route": "ROUTE"}; without a route, the freeze of all routes is lifted'
)
_DECIDES = (
    f'the body must be {{"by": "NAME"}}, with the name of the person deciding, at most {MAX_WHO_CHARS} characters'
)
_WITH_KEYS = f'"unique_by" may be added: a list of at most {MAX_KEYS} keys, none empty or duplicate'
_NO_SUCH_PATH = (
    "no such path: this is the hub's admin port, with /metrics, /livez, /readyz, /healthz and /api; Argo CD's baseUrl "
    "needs the HTTP port (listen.http)"
)


class Initialising(Protocol):
    """Knows the store."""

    def view(self) -> StoreView:
        """The store of this moment."""
        ...

    async def init(self, who: str) -> Initialised:
        """Start with an empty store."""
        ...


class Forgetting(Protocol):
    """Takes away what a backend claimed."""

    async def forget(self, backend: str, who: str) -> Forgotten:
        """Forget the backend's claims, and record who decided it; returns what was forgotten."""
        ...


class Deciding(Protocol):
    """Knows what is held, and takes decisions about it."""

    def held(self) -> list[HeldAnswer]:
        """What is held, the oldest first."""
        ...

    async def decide(
        self, held_id: str, decision: Literal["accepted", "rejected"], who: str, unique_by: tuple[str, ...] = ()
    ) -> HeldAnswer:
        """Take a decision; raises ``NoSuchHeldAnswer``, ``KeysRefused`` or ``StoreFailed``."""
        ...


class Freezing(Protocol):
    """Knows what is frozen, and freezes it."""

    def all(self) -> list[Freeze]:
        """What is frozen."""
        ...

    async def freeze(self, route: str, reason: str, who: str) -> FreezeView:
        """Freeze a route, or all (an empty ``route``); raises ``StoreFailed``."""
        ...

    async def unfreeze(self, route: str, who: str) -> FreezeView:
        """Lift a freeze; raises ``StoreFailed``."""
        ...


class Retaining(Protocol):
    """Knows how many questions have a baseline."""

    def view(self) -> KeptView:
        """How many there are, and how many may be."""
        ...


class Remembering(Protocol):
    """Knows what happened to answers."""

    async def history(self, application_set_name: str) -> list[History]:
        """The last changes of all questions of an ApplicationSet."""
        ...

    async def audit(self) -> list[AuditEntry]:
        """Who decided what, oldest first."""
        ...


class DecidingAndRemembering(Deciding, Remembering, Protocol):
    """The guard, as this port sees it."""


class Teaching(Protocol):
    """Knows the keys that operators have taught."""

    def knows(self, kind: Literal["route", "backend"], name: str) -> bool:
        """Whether keys were taught for it."""
        ...

    async def forget(self, kind: Literal["route", "backend"], name: str, who: str) -> KeysForgottenView:
        """Take them back, and record who decided it."""
        ...


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a decision: who takes it."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WHO_CHARS)]


class ToFreeze(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a freeze: who decides it, and why; an empty ``route`` is all of them."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WHO_CHARS)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON_CHARS)]
    route: str = ""


class ToUnfreeze(msgspec.Struct, forbid_unknown_fields=True):
    """The body of its end."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WHO_CHARS)]
    route: str = ""


class Acceptance(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an acceptance: who decides, and which keys identify the sets, if that is to be learnt."""

    by: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WHO_CHARS)]
    unique_by: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_CHARS)], ...],
        msgspec.Meta(max_length=MAX_KEYS),
    ] = ()


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The process works."""

    live: bool = True


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the hub serves, what is missing if it does not, and what is not as it is configured."""

    ready: bool
    missing: tuple[str, ...]
    absent_backends: list[str]
    never_seen_backends: list[str]
    needs_restart: tuple[str, ...]
    failing_tasks: tuple[str, ...]
    frozen: list[Freeze]
    kept_questions: KeptView
    store: StoreView


class Notices(Protocol):
    """Remembers the latest notices."""

    @property
    def notices(self) -> Iterable[AnswerNoticed]:
        """The latest, oldest first."""
        ...


class Readiness:
    """Whether the hub can serve, and what is missing if it cannot.

    ``starting`` gives what a hub that has just started still waits for.

    ``needs_restart`` are changed settings that keep their old values until the hub is restarted. ``failing`` gives the
    tasks of the hub that have failed and may fail again; without them it still answers, and answers right.
    """

    def __init__(
        self, failing: Callable[[], tuple[str, ...]] = tuple, starting: Callable[[], tuple[str, ...]] = tuple
    ) -> None:
        self.missing: tuple[str, ...] = ("the hub is starting",)
        self.starting = starting
        self.needs_restart: tuple[str, ...] = ()
        self.failing = failing


class Admin:
    """The paths of the admin port."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        overview: Overview,
        membership: Forgetting,
        guard: DecidingAndRemembering,
        freezes: Freezing,
        retention: Retaining,
        keeper: Initialising,
        taught: Teaching,
        notices: Notices,
        metrics: CollectorRegistry,
        readiness: Readiness,
        tokens: TokenRing[str],
        request_ids: RequestIds,
        events: Events,
    ) -> None:
        self._overview = overview
        self._membership = membership
        self._guarded = guard
        self._freezes = freezes
        self._retention = retention
        self._keeper = keeper
        self._taught = taught
        self._notices = notices
        self._metrics = metrics
        self._readiness = readiness
        self._tokens = tokens
        self._request_ids = request_ids
        self._events = events

    def replace_tokens(self, tokens: TokenRing[str]) -> None:
        """Take new admin tokens."""
        self._tokens = tokens

    def app(self) -> web.Application:
        """The application: middlewares from the outside in, then the routes."""
        app = web.Application(middlewares=[self._refusals, self._guard])
        app.add_routes(
            [
                web.get("/metrics", self._get_metrics),
                web.get("/livez", self._get_live),
                web.get("/healthz", self._get_live),
                web.get("/readyz", self._get_ready),
                web.get("/api/openapi.json", self._get_openapi),
                web.get("/api/routes", self._get_routes),
                web.get("/api/backends", self._get_backends),
                web.get("/api/notices", self._get_notices),
                web.get("/api/explain", self._get_explanation),
                web.get("/api/held", self._get_held),
                web.get("/api/history", self._get_history),
                web.get("/api/audit", self._get_audit),
                web.get("/api/freezes", self._get_freezes),
                web.get("/api/store", self._get_store),
                web.post("/api/store/init", self._init_store),
                web.post("/api/freeze", self._freeze),
                web.post("/api/unfreeze", self._unfreeze),
                web.post("/api/backends/{name}/forget", self._forget),
                web.post("/api/backends/{name}/forget-keys", self._forget_backend_keys),
                web.post("/api/routes/{name}/forget-keys", self._forget_route_keys),
                web.post("/api/held/{id}/accept", self._accept),
                web.post("/api/held/{id}/reject", self._reject),
            ]
        )
        return app

    @web.middleware
    async def _refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except HubError as error:
            return _refused(error, self._request_ids.next())
        except web.HTTPMethodNotAllowed as error:
            allow = ", ".join(sorted(error.allowed_methods))
            not_allowed = MethodNotAllowed(f"this path of the admin port takes {allow} only")
            return _refused(not_allowed, self._request_ids.next(), allow=allow)
        except web.HTTPRequestEntityTooLarge:
            return _refused(BodyTooLarge("the request's body is too large"), self._request_ids.next())
        except web.HTTPException:
            return _refused(UnknownPath(_NO_SUCH_PATH), self._request_ids.next())
        except Exception:  # noqa: BLE001 - whatever went wrong, the operator reads JSON, and the log says the rest.
            request_id = self._request_ids.next()
            self._events.emit(InternalFault(where="admin", request_id=request_id, traceback=traceback.format_exc()))
            return _refused(InternalError("the hub failed; its log says why"), request_id)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # A path that does not exist is a 404 with or without a token: it may be a call that was meant for another port.
        if request.method not in ("GET", "HEAD") and request.match_info.http_exception is None:
            self._check_operator(request)
        return await handler(request)

    def _check_operator(self, request: web.Request) -> None:
        if "Origin" in request.headers:
            raise NotAllowed("a web page may not change the hub's state")
        if self._tokens:
            self._check_token(request.headers.get("Authorization"))
        elif request.remote is None or not ip_address(request.remote).is_loopback:
            raise NotAllowed(_NOT_LOCAL)

    def _check_token(self, header: str | None) -> None:
        try:
            token = bearer(header)
        except TokenMissing as error:
            raise TokenMissing(_NEEDS_ADMIN) from error
        if self._tokens.holder(token) is None:
            raise TokenWrong(_NOT_ADMIN)

    async def _get_metrics(self, request: web.Request) -> web.Response:
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self._metrics), headers={"Content-Type": content_type})

    async def _get_live(self, _: web.Request) -> web.Response:
        return _shown(Live())

    async def _get_ready(self, _: web.Request) -> web.Response:
        missing = self._readiness.missing or self._readiness.starting()
        body = Ready(
            ready=not missing,
            missing=missing,
            absent_backends=self._overview.absent(),
            never_seen_backends=self._overview.awaited(),
            needs_restart=self._readiness.needs_restart,
            failing_tasks=self._readiness.failing(),
            frozen=self._freezes.all(),
            kept_questions=self._retention.view(),
            store=self._keeper.view(),
        )
        return _shown(body, status=503 if missing else 200)

    async def _get_openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=_OPENAPI.read_bytes(), content_type="application/json")

    async def _get_routes(self, _: web.Request) -> web.Response:
        return _shown(self._overview.routes())

    async def _get_backends(self, _: web.Request) -> web.Response:
        return _shown(self._overview.backends())

    async def _get_notices(self, _: web.Request) -> web.Response:
        return _shown(list(self._notices.notices))

    async def _get_explanation(self, request: web.Request) -> web.Response:
        name = _name(request)
        text = request.query.get("parameters", "{}").encode(errors="surrogatepass")
        parameters = _decoded(text, dict[str, Any], '"parameters" in the query is not a JSON object')
        return _shown(await self._overview.explain(name, request.query.get("route") or None, parameters))

    async def _forget(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in {backend.name for backend in self._overview.backends()}:
            raise UnknownBackend("no such backend in the hub's configuration; see: appset-hub backends list")
        who = await _who(request) if request.can_read_body else ""
        return _shown(await self._membership.forget(name, who))

    async def _forget_backend_keys(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        known = {backend.name for backend in self._overview.backends()}
        if name not in known and not self._taught.knows("backend", name):
            raise UnknownBackend("no such backend in the hub's configuration; see: appset-hub backends list")
        return _shown(await self._taught.forget("backend", name, await _who(request)))

    async def _forget_route_keys(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in {route.name for route in self._overview.routes()} and not self._taught.knows("route", name):
            raise UnknownRoute("no such route in the hub's configuration; see: appset-hub routes")
        return _shown(await self._taught.forget("route", name, await _who(request)))

    async def _get_store(self, _: web.Request) -> web.Response:
        return _shown(self._keeper.view())

    async def _init_store(self, request: web.Request) -> web.Response:
        return _shown(await self._keeper.init(await _who(request)))

    async def _get_freezes(self, _: web.Request) -> web.Response:
        return _shown(self._freezes.all())

    async def _freeze(self, request: web.Request) -> web.Response:
        wanted = _decoded(await request.read(), ToFreeze, _FREEZE_BODY)
        if not wanted.reason.isprintable() or not wanted.reason.strip():
            raise InvalidRequest(_FREEZE_BODY)
        if wanted.route not in ("", CLAIMED, *(route.name for route in self._overview.routes())):
            raise UnknownRoute("no such route in the hub's configuration; see: appset-hub routes")
        return _shown(await self._freezes.freeze(wanted.route, wanted.reason.strip(), wanted.by))

    async def _unfreeze(self, request: web.Request) -> web.Response:
        wanted = _decoded(await request.read(), ToUnfreeze, _UNFREEZE_BODY)
        return _shown(await self._freezes.unfreeze(wanted.route, wanted.by))

    async def _get_held(self, _: web.Request) -> web.Response:
        return _shown(self._guarded.held())

    async def _get_history(self, request: web.Request) -> web.Response:
        return _shown(await self._guarded.history(_name(request)))

    async def _get_audit(self, _: web.Request) -> web.Response:
        return _shown(await self._guarded.audit())

    async def _accept(self, request: web.Request) -> web.Response:
        body = _decoded(await request.read(), Acceptance, f"{_DECIDES}; {_WITH_KEYS}")
        if len(set(body.unique_by)) < len(body.unique_by):
            raise InvalidRequest(_WITH_KEYS)
        return await self._decide(request, "accepted", body.by, body.unique_by)

    async def _reject(self, request: web.Request) -> web.Response:
        return await self._decide(request, "rejected", await _who(request))

    async def _decide(
        self,
        request: web.Request,
        decision: Literal["accepted", "rejected"],
        who: str,
        unique_by: tuple[str, ...] = (),
    ) -> web.Response:
        try:
            return _shown(await self._guarded.decide(request.match_info["id"], decision, who, unique_by))
        except NoSuchHeldAnswer as error:
            raise NotHeld("no answer is held under this id, or it no longer is; see: appset-hub held") from error


async def _who(request: web.Request) -> str:
    return _decoded(await request.read(), Decision, _DECIDES).by


def _decoded(text: bytes, kind: type[T], otherwise: str) -> T:
    try:
        check_levels(text)
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest(otherwise) from error


def _name(request: web.Request) -> str:
    name = request.query.get("name", "")
    if not name:
        raise InvalidRequest('the query needs "name", an applicationSetName')
    return name


def _refused(error: HubError, request_id: str, *, allow: str | None = None) -> web.Response:
    refusal = reply.refused(error, request_id, allow=allow)
    return web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)


def _shown(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encode(value), headers={"Content-Type": "application/json"})

"""The use cases, wired as ``hub.main`` does, on fakes that behave."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.answer import Limits
from hub.core.clients import Client
from hub.core.directory import BackendInfo, Directory, Grant, Instance
from hub.core.errors import HubError
from hub.core.guard import GuardPolicy
from hub.core.question import parse_call
from hub.core.routes import CLAIMED, Route, Trust
from hub.main.guarding import guarding
from hub.service.ask import Asker
from hub.service.audit import AuditLog
from hub.service.breaker import Breaker
from hub.service.bulkhead import Bulkhead
from hub.service.completeness import Completeness
from hub.service.elapsed import ObservedTime
from hub.service.execute import Execute, Request
from hub.service.flights import Caller
from hub.service.freezing import Freezes
from hub.service.freshness import FreshnessLimits
from hub.service.inputs import Inputs
from hub.service.keeping import StoreKeeper, StoreRecord
from hub.service.lastgood import LastGoodAnswers
from hub.service.membership import Membership, MembershipLimits
from hub.service.overview import Overview
from hub.service.pool import Pool
from hub.service.reading import Reading
from hub.service.remembered import RememberedAnswers
from hub.service.room import Room
from hub.service.routing import Routing
from hub.service.taught import TaughtKeys
from hub.service.timekeeper import Timekeeper
from tests.support.fakes import FakeDialler, FakeEvents, FakeLink, FakeSchemas, FakeStore, NoNames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from hub.service.ports import Apart, Dialler, Link, Names, RawAnswer, Schemas

    T = TypeVar("T")

ARGOCD = Client(name="argocd")
NOBODY = Caller(lambda: None)
NO_GUARD = Trust(guard=GuardPolicy(mode="off"))

GRANTS = (
    Grant(backend="images", application_sets=("*",), addresses=("*.images.svc:50051",), expected=False),
    Grant(backend="owners", application_sets=("*",), addresses=("*.owners.svc:50051",), expected=False),
)


def route(name: str = "r", *members: str, **more: Any) -> Route:
    """A route on every name; without a guard unless told."""
    return Route(**{"name": name, "members": members or ("images",), "application_sets": ("*",), "trust": NO_GUARD,
                    **more})  # fmt: skip


def guarded_by_default(*, stale_s: float | None = None) -> Route:
    """A route with the guard that routes have by themselves."""
    return route("previews", trust=Trust(stale_max_age_s=stale_s))


def info(instance: str = "one", backend: str = "images", *patterns: str, **more: Any) -> BackendInfo:
    return BackendInfo(name=backend, instance=instance, application_sets=patterns, **more)


class Here:
    """Does at once what a hub does in another process."""

    async def run(self, work: Callable[[], T], *, within_s: float | None = None) -> T:  # noqa: ARG002 - as the port.
        return work()


class Service:
    """A hub without edges. Tests attach links, ask, and look."""

    def __init__(
        self,
        *routes: Route,
        grants: tuple[Grant, ...] = GRANTS,
        store: FakeStore | None = None,
        claims: dict[str, tuple[str, ...]] | None = None,
        answer_limits: Limits | None = None,
        remembered_entries: int = 100,
        remembered_bytes: int = 1_000_000,
        others: Callable[[str], Grant] | None = None,
        initialised: bool = True,
        names: Names | None = None,
        dialler: Dialler | None = None,
        kept_questions: int = 1000,
        baseline_bytes: int = 1 << 30,
        apart: Apart | None = None,
        schemas: Schemas | None = None,
        **limits: Any,
    ) -> None:
        self.now = asyncio.get_running_loop().time
        self.events = FakeEvents()
        self.store = store or FakeStore()
        self.dialler = FakeDialler()
        self.directory: Directory[Link] = Directory(
            grants,
            claims or {},
            lasting=self.store.lasting,
            seen=[key for kind, key in self.store.values if kind == "seen"],
            others=others,
        )
        self.pool = Pool(self.directory, self.now)
        self.routing = Routing(self.directory)
        self.remembered = RememberedAnswers(max_entries=remembered_entries, max_bytes=remembered_bytes)
        reading = Reading(apart or Here(), answer_limits or Limits())
        schemas = schemas or FakeSchemas()
        audit = AuditLog(self.store, self.now)
        self.taught = TaughtKeys(
            store=self.store, events=self.events, clock=self.now, audit=audit, routing=self.routing
        )
        self.guarding = guarding(
            store=self.store,
            events=self.events,
            clock=self.now,
            monotonic=self.now,
            audit=audit,
            routing=self.routing,
            taught=self.taught,
            observed=ObservedTime(self.store, self.events, self.now),
            forget_answers=self.remembered.clear,
            kept_questions=kept_questions,
            baseline_bytes=baseline_bytes,
        )
        self.guarding.askers.take([ARGOCD.name])
        self.guard = self.guarding.guard
        self.freezes = Freezes(store=self.store, events=self.events, clock=self.now, audit=audit, accepted=self.guard)
        self.last_good = LastGoodAnswers(self.store, self.events, self.now)
        timekeeper = Timekeeper()
        self.room = Room(None, self.now)
        self.asker = Asker(
            pool=self.pool,
            events=self.events,
            clock=self.now,
            timekeeper=timekeeper,
            reading=reading,
            room=self.room,
            breaker=Breaker(),
        )
        self.keeper = StoreKeeper(
            store=self.store,
            events=self.events,
            clock=self.now,
            audit=audit,
            new_id=lambda: "5707e",
            expect_initialised=False,
        )
        if initialised:
            self.keeper.take(StoreRecord(id="5707e", created_at_s=1.0))
        completeness = Completeness(self.store)
        self.freshness = FreshnessLimits(self.events)
        self.bulkhead = Bulkhead()
        self.execute = Execute(
            keeper=self.keeper,
            routing=self.routing,
            completeness=completeness,
            inputs=Inputs(self.directory, schemas, self.events, timekeeper),
            asker=self.asker,
            remembered=self.remembered,
            guard=self.guard,
            freezes=self.freezes,
            uses=self.guarding.uses,
            last_good=self.last_good,
            freshness=self.freshness,
            bulkhead=self.bulkhead,
            room=self.room,
            events=self.events,
            clock=self.now,
            timekeeper=timekeeper,
            reading=reading,
        )
        self.membership = Membership(
            directory=self.directory,
            pool=self.pool,
            routing=self.routing,
            store=self.store,
            dialler=dialler or self.dialler,
            names=names or NoNames(),
            schemas=schemas,
            events=self.events,
            clock=self.now,
            audit=audit,
            limits=MembershipLimits(**limits),
        )
        self.overview = Overview(
            self.directory,
            self.routing,
            completeness,
            freezes=self.freezes,
            freshness=self.freshness,
            variety=self.guarding.variety,
        )
        self.set_routes(*routes)

    def set_routes(self, *routes: Route) -> None:
        claimed = Route(name=CLAIMED, members=(), trust=NO_GUARD)
        self.routing.set_routes(routes, claimed=claimed)

    async def attach(self, link: FakeLink, backend: str = "images", *patterns: str, **more: Any) -> Instance[Link]:
        """Attach an instance named as its link."""
        return await self.membership.attach(info(link.name, backend, *patterns, **more), link)

    def lose(self, instance: Instance[Link]) -> None:
        """The instance's connection broke."""
        self.membership.leave(instance, "its stream ended")

    def request(
        self,
        name: str = "fb-1",
        parameters: dict[str, Any] | None = None,
        *,
        path_route: str | None = None,
        client: Client = ARGOCD,
        request_id: str = "id-1",
    ) -> Request:
        body = {"applicationSetName": name, "input": {"parameters": parameters or {}}}
        call = parse_call(json.dumps(body).encode())
        return Request(client=client, call=call, path_route=path_route, request_id=request_id, caller=NOBODY)

    async def ask(self, name: str = "fb-1", parameters: dict[str, Any] | None = None, **more: Any) -> list[Any]:
        """The parameter sets of one request; it has a task of its own as on a connection, and cancelling hangs up."""
        request = self.request(name, parameters, **more)
        working = asyncio.get_running_loop().create_task(self.execute(request))
        request.caller = Caller(working.cancel)
        try:
            answer = await asyncio.shield(working)
        except asyncio.CancelledError:
            request.caller.hang_up()
            raise
        document = json.loads(answer.body)
        assert answer.count == len(document["output"]["parameters"])
        found: list[Any] = document["output"]["parameters"]
        return found

    def asking(self, name: str = "fb-1", parameters: dict[str, Any] | None = None, **more: Any) -> asyncio.Task[Any]:
        """One request that is under way."""
        return asyncio.get_running_loop().create_task(self.ask(name, parameters, **more))

    async def refusal(self, name: str = "fb-1", parameters: dict[str, Any] | None = None, **more: Any) -> HubError:
        """Why one request has no answer."""
        try:
            sets = await self.ask(name, parameters, **more)
        except HubError as error:
            return error
        raise AssertionError(f"it was answered: {sets}")


def with_digest(answer: RawAnswer, digest: str) -> RawAnswer:
    return msgspec.structs.replace(answer, digest=digest)

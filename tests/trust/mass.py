"""Many stories at once against one hub, each with an oracle of its own.

A story is one ApplicationSet's life: questions, some by several callers at once, some whose callers hang up, and an
operator's decisions; while the hub is restarted, streams break, and a backend comes and goes. What happens is drawn
from the seed and the story's number, so a story can be told again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from tests.trust.hubs import ADMIN_TOKEN, Site, WallClock
from tests.trust.oracle import Moment, Outcome, Question, Sets, Span, same_value
from tests.trust.scripts import BACKENDS, CLAIM, ROUTES, Act, World, settings
from tests.trust.stub import Stub
from tests.trust.wire import Caller, NotAnswered, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.trust.stub import Answer, Request

SIDE_BY_SIDE = 40
REQUESTS_A_SECOND = 60  # How fast the time of day passes.
CLIENTS = {"argocd": "argocd-token", "other": "other-token"}
MAX_REFUSAL_BYTES = 512

_TRIES = 12
_PASSING = (503, 504)


class WrongAnswer(AssertionError):
    """The hub gave what the script does not allow."""


class Mass:
    """One hub, its backends, and so many scripted answers."""

    def __init__(self, folder: Path, *, seed: str, answers: int, restarts: int, story: int | None = None) -> None:
        self.seed = seed
        self.wanted = answers
        self.only = story
        self.clock = WallClock()
        self.site = Site(folder, self.clock)
        self.answers = 0
        self.seen: Counter[str] = Counter()
        self.stories: dict[str, Story] = {}
        self.serving = asyncio.Event()
        self.disturbances: Counter[str] = Counter()  # By backend; "hub" for all of them.
        self.trouble: Exception | None = None
        self._restarts = restarts
        self._chance = random.Random(f"{seed}/mass")
        self._next = 0
        self._stubs: list[Stub] = []

    async def run(self) -> None:
        """Tell stories until enough was answered.

        Raises:
            WrongAnswer: with the seed and the story that show it.
        """
        started_s = time.monotonic()
        self.site.configure(
            **settings(),
            clients=[{"name": name, "tokens": self.site.token(name)} for name in CLIENTS],
            drain={"delay": "0s", "timeout": "100ms"},
        )
        async with AsyncExitStack() as stack:
            await self.site.start()
            stack.push_async_callback(self.site.stop)
            for name in BACKENDS:
                for instance in ("one", "two") if name != "flaky" else ("one",):
                    stub = self._stub(name, instance)
                    stack.push_async_callback(stub.stop)
                    self._stubs.append(await stub.start(lambda: self.site.grpc_address))
            self.serving.set()
            await self._tell()
        if self.trouble is not None:
            raise WrongAnswer(f"a backend was asked what it must not be: seed {self.seed}") from self.trouble
        self.seen["milliseconds"] = round(1000 * (time.monotonic() - started_s))

    def _stub(self, name: str, instance: str) -> Stub:
        claims = [CLAIM] if name in ("b1", "b2") else []
        stub = Stub(name, lambda request: self._behave(stub, request), instance=instance, claims=claims)
        return stub

    def _behave(self, stub: Stub, request: Request) -> Answer | asyncio.Future[Answer] | None:
        self.answers += 1
        stub.asked.clear()
        story = self.stories.get(request.application_set_name)
        if story is None:
            return None  # Whoever asked hung up, and the story is over.
        try:
            return story.answer(stub, request)
        except Exception as error:
            self.trouble = self.trouble or error
            raise

    async def _tell(self) -> None:
        trouble = [asyncio.ensure_future(work) for work in (self._restart_now_and_then(), self._come_and_go())]
        telling = [asyncio.ensure_future(self._tell_some()) for _ in range(SIDE_BY_SIDE if self.only is None else 1)]
        try:
            # Not a task group: one that fails leaves this task cancelled in Python 3.11, and that hides what failed.
            await asyncio.gather(*telling)
        finally:
            for task in (*telling, *trouble):
                task.cancel()
            await asyncio.gather(*telling, *trouble, return_exceptions=True)

    async def _tell_some(self) -> None:
        while self.answers < self.wanted and self.trouble is None:
            number, self._next = self._next, self._next + 1
            story = Story(self, number if self.only is None else self.only)
            self.stories[story.name] = story
            await story.tell()
            del self.stories[story.name]
            self.seen["stories"] += 1
            if self.only is not None:
                return

    def tick(self) -> None:
        """A request was made: time passes."""
        self.seen["requests"] += 1
        self.clock.pass_(1 / REQUESTS_A_SECOND)

    def calm(self) -> dict[str, int]:
        """How often each was disturbed so far; ``-1`` for a backend that is not whole right now."""
        marks = dict(self.disturbances)
        marks |= {stub.name: -1 for stub in self._stubs if not stub.attached.is_set()}
        return marks

    def disturbed_since(self, marks: dict[str, int]) -> frozenset[str]:
        """The backends whose streams may have broken since then."""
        now = self.calm()
        if now.get("hub") != marks.get("hub"):
            return frozenset(BACKENDS)
        return frozenset(name for name in BACKENDS if now.get(name, 0) != marks.get(name, 0) or marks.get(name, 0) < 0)

    def disturbed_by(self, stub: Stub) -> None:
        """A stream is about to break."""
        self.disturbances[stub.name] += 1
        self.seen["streams cut"] += 1
        stub.cut()

    async def _restart_now_and_then(self) -> None:
        for turn in range(self._restarts):
            due = self.wanted * (turn + 1) // (self._restarts + 1)
            while self.answers < due:  # noqa: ASYNC110 - a count, not an event.
                await asyncio.sleep(0.01)
            self.serving.clear()
            self.disturbances["hub"] += 1
            self.seen["restarts"] += 1
            if turn % 2:
                await self.site.hub.drain(0.0)
            await self.site.restart()
            for stub in self._stubs:
                stub.attached.clear()
            for story in self.stories.values():
                story.hub_restarted()
            self.disturbances["hub"] += 1
            self.serving.set()

    async def _come_and_go(self) -> None:
        flaky = self._stubs[-1]
        while True:
            await asyncio.sleep(self._chance.uniform(0.1, 0.3))
            self.disturbances["flaky"] += 1
            await flaky.stop()
            self.seen["absences"] += 1
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))
            await flaky.start(lambda: self.site.grpc_address)
            self.disturbances["flaky"] += 1


class Story:
    """One ApplicationSet's life."""

    def __init__(self, mass: Mass, number: int) -> None:
        self._mass = mass
        self._number = number
        self._chance = random.Random(f"{mass.seed}/{number}")
        self.rules = self._chance.choice(ROUTES)
        kind = "claims" if self.rules.claimed else self.rules.name
        self.name = f"{kind}.{number}"
        self._by_path = not self.rules.claimed and self._chance.random() < 0.2
        self._worlds = {name: World(self._chance, name, self.rules) for name in self.rules.members}
        self._acts: dict[str, Act] = {}
        self._cuts: Counter[str] = Counter()
        self._held_ids: dict[tuple[str, str], str] = {}
        clients = self._chance.sample(sorted(CLIENTS), self._chance.choice((1, 1, 2)))
        inputs: list[dict[str, Any]] = [{"team": "red"}, {"team": 7, "more": [1.0, None]}]
        self._questions = {
            (client, json.dumps(parameters)): Question(self.rules)
            for client in clients
            for parameters in inputs[: self._chance.choice((1, 1, 2))]
        }
        self._callers = {client: [Caller(0, token) for _ in range(3)] for client, token in CLIENTS.items()}
        self._asking: Question | None = None
        self._log: list[str] = []

    def answer(self, stub: Stub, request: Request) -> Answer | asyncio.Future[Answer] | None:
        """What a backend says now."""
        act = self._acts[stub.name]
        if self._cuts[stub.name] < act.cuts:
            self._cuts[stub.name] += 1
            self._mass.disturbed_by(stub)
            return None
        if act.answer is None:
            return None
        answer = act.answer(request.known_digest)
        if not act.delay_s:
            return answer
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        loop.call_later(act.delay_s, future.set_result, answer)
        return future

    def hub_restarted(self) -> None:
        """What the hub had in memory is gone."""
        self._log.append("the hub was restarted")
        for question in self._questions.values():
            question.restarted(surely_before=question is not self._asking)

    async def tell(self) -> None:
        """Live it."""
        try:
            for _ in range(self._chance.randint(8, 24)):
                await self._step()
        except WrongAnswer as error:
            error.add_note(f"APPSET_HUB_SEED={self._mass.seed} APPSET_HUB_STORY={self._number}, {self.rules}")
            for line in self._log[-8:]:
                error.add_note(line[:1000])
            raise
        finally:
            for callers in self._callers.values():
                for caller in callers:
                    await caller.close()

    async def _step(self) -> None:
        chance = self._chance
        who = chance.choice(list(self._questions))
        for name, world in self._worlds.items():
            world.turn()
            self._acts[name] = world.act()
        self._cuts.clear()
        callers = chance.choices((1, 2, 3), (80, 12, 8))[0]
        pipelined = callers > 1 and chance.random() < 0.5
        hangs_up = chance.random() < 0.05
        decision = chance.choices(("", "accepted", "rejected"), (5, 4, 1))[0]
        unclear = await self._ask(who, callers, pipelined=pipelined, hangs_up=hangs_up)
        tries = 0
        while unclear:
            # The same again, until it is clear how far the hub came.
            tries += 1
            if tries > _TRIES:
                return
            unclear = await self._ask(who, 1)
        if decision and self._questions[who].may_hold() and who in self._held_ids:
            await self._decide(who, decision)

    async def _ask(
        self, who: tuple[str, str], callers: int, *, pipelined: bool = False, hangs_up: bool = False
    ) -> bool:
        """Ask one question at once from several; true if it is unclear what the hub made of it."""
        client, parameters_json = who
        mass, question = self._mass, self._questions[who]
        await mass.serving.wait()
        self._asking = question
        parameters = json.loads(parameters_json)
        loop = asyncio.get_running_loop()
        marks, loop_s, wall_s = mass.calm(), loop.time(), mass.clock.now_s
        pool = self._callers[client]
        for caller in pool:
            await caller.move(mass.site.hub.http_port)
        route = self.rules.name if self._by_path else ""
        data = pool[0].question(self.name, parameters, route=route)
        for _ in range(callers):
            mass.tick()
        replies: list[Reply | None] = []
        if hangs_up:
            replies.append(None)
            leaving = Caller(mass.site.hub.http_port, CLIENTS[client])
            with suppress(NotAnswered):
                await leaving.write(data)
            await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.004)))
        ways = [(pool[0], callers)] if pipelined else [(one, 1) for one in pool[:callers]]
        asking = [self._one(one, data, times) for one, times in ways]
        for finished in asyncio.as_completed(asking):
            replies.extend(await finished)
            if hangs_up:
                await leaving.hang_up()
        restarted = not mass.serving.is_set()
        await mass.serving.wait()
        disturbed = mass.disturbed_since(marks) & set(self.rules.members)
        if self.rules.deadline_s < 1:
            disturbed = frozenset(self.rules.members)  # On a busy machine its time may pass before anybody answers.
        moment = Moment(
            said={name: act.said for name, act in self._acts.items()},
            parameters=parameters,
            loop=Span(loop_s, loop.time()),
            wall=Span(wall_s, mass.clock.now_s),
            disturbed=disturbed,
        )
        self._judge(who, question, moment, replies, restarted=restarted)
        if mass.disturbed_since(marks) == frozenset(BACKENDS):
            question.restarted(surely_before=False)
        self._asking = None
        return None in replies or any(one is not None and one.status in _PASSING for one in replies)

    async def _one(self, caller: Caller, data: bytes, times: int) -> Sequence[Reply | None]:
        try:
            return await caller.pipeline([data] * times)
        except NotAnswered as error:
            await caller.close()
            if not error.raw:
                return [None] * times
            raise WrongAnswer(f"cut inside a response: {error.raw!r}") from error

    def _judge(
        self, who: tuple[str, str], question: Question, moment: Moment, replies: list[Reply | None], *, restarted: bool
    ) -> None:
        mass = self._mass
        outcomes = [None if reply is None else self._outcome(reply) for reply in replies]
        self._log.append(f"{who} said {moment.said}\n  disturbed={moment.disturbed} saw {outcomes}")
        for reply, outcome in zip(replies, outcomes, strict=True):
            if reply is None or outcome is None:
                mass.seen["no reply"] += 1
                continue
            mass.seen["200 stale" if outcome.stale else str(outcome.status)] += 1
            if outcome.status == 409:
                self._held_ids[who] = reply.held_id
        lenient = [self._lenient(outcome, moment, restarted=restarted) for outcome in outcomes]
        if not question.observe(moment, lenient):
            refusals = [reply.body.decode() for reply in replies if reply is not None and reply.status != 200]
            raise WrongAnswer(
                f"{self.name}: saw {outcomes} within {moment.loop.last - moment.loop.first:.3f} s, "
                f"may be {question.expected(moment)}; {refusals}"
            )

    @staticmethod
    def _lenient(outcome: Outcome | None, moment: Moment, *, restarted: bool) -> Outcome | None:
        """An error of the moment says nothing of what the hub did; a 200 always has to be explained."""
        if outcome is None or outcome.status in (200, 409):
            return outcome
        return None if outcome.status in (503, 504) and (moment.disturbed or restarted) else outcome

    @staticmethod
    def _outcome(reply: Reply) -> Outcome:
        verdict = reply.verdict
        if reply.status != 200:
            document = json.loads(reply.body)
            if not verdict.is_error or reply.status < 400 or set(document) != {"message", "error"}:
                raise WrongAnswer(f"no proper refusal: {reply.raw!r}")
            if len(reply.body) > MAX_REFUSAL_BYTES:
                raise WrongAnswer(f"a refusal of {len(reply.body)} bytes: {reply.raw!r}")
            return Outcome(reply.status)
        if verdict.is_error:
            raise WrongAnswer(f"a 200 that is an error to Argo CD ({verdict.error}): {reply.raw!r}")
        sets: Sets = [one or {} for one in verdict.sets]
        if not all(sets) or not reply.body.startswith(b'{"output":{"parameters":['):
            raise WrongAnswer(f"a 200 that Argo CD misreads: {reply.raw!r}")
        return Outcome(200, same_value(sets), stale=reply.stale)

    async def _decide(self, who: tuple[str, str], decision: str) -> None:
        mass, question = self._mass, self._questions[who]
        await mass.serving.wait()
        action = {"accepted": "accept", "rejected": "reject"}[decision]
        body = json.dumps({"by": "ann"}).encode()
        marks = mass.calm()
        async with Caller(mass.site.hub.admin_port, ADMIN_TOKEN) as caller:
            try:
                reply = await caller.send(caller.request("POST", f"/api/held/{self._held_ids[who]}/{action}", body))
            except NotAnswered:
                before = question.states
                question.decided(decision)
                question.states |= before
                return
        if reply.status not in (200, 404):
            raise WrongAnswer(f"an operator was told {reply.raw!r}")
        mass.seen[f"{action} {reply.status}"] += 1
        self._log.append(f"{who} {action}: {reply.status}")
        before = question.states
        if reply.status == 200:
            question.decided(decision)
        elif question.must_hold() and not mass.disturbed_since(marks):
            # An id that is no longer held may be the one before.
            mass.seen["decided too late"] += 1
        if not question.states:
            raise WrongAnswer(f"an operator was told {reply.status}, the states were {before}")

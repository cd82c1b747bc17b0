"""What backends are made to say: good answers that come and go, and whatever else a backend may do."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appset_hub.v1 import backend_pb2
from google.protobuf.duration_pb2 import Duration

from tests.trust.oracle import Bad, Given, Rules, Said, Sets, Unmodified
from tests.trust.stub import Answer, fails, says

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_ANSWER_BYTES = 48 * 1024
MAX_SETS = 120
MAX_DEPTH = 8

# What is no answer, whatever a route asks of one.
MISTAKES: tuple[bytes, ...] = (
    b"",
    b" \n",
    b"null",
    b"{}",
    b"true",
    b'"x"',
    b"12",
    b"[null]",
    b"[{}]",
    b'["x"]',
    b"[[]]",
    b"[1]",
    b'[{"a":"x"},null]',
    b'[{"a":"x"},{}]',
    b'{"output":{"parameters":[{"a":"x"}]}}',
    b'{"parameters":[{"a":"x"}]}',
    b'{"error":"down"}',
    b'[{"a":NaN}]',
    b'[{"a":Infinity}]',
    b'[{"a":1e400}]',
    b'[{"a":-1e999}]',
    b'[{"a":01}]',
    b'[{"a":1.}]',
    b"[{'a':'x'}]",
    b'[{"a":"x",}]',
    b'[{"a":"x"},]',
    b'[{"a":"\\ud800"}]',
    b'[{"a":"\xff\xfe"}]',
    b'[{"a\xff":"x"}]',
    b'[{"a":"x\x00y"}]',
    b'[{"a":"\\x"}]',
    b'[{"a":{"b":"1"},"a.b":"2"}]',
    b'[{"a":["1"],"a.0":"2"}]',
    b'[{"a":"1","a":"2"}]',
    b'[{"a":{"b":1,"b":1}}]',
    b"<html>login</html>",
    b"\x1f\x8b\x08\x00",
    b"[" * 20_000,
    b'[{"a":' + b"[" * 12 + b"1" + b"]" * 12 + b"}]",
    b"[" + b",".join(b'{"a":"%d"}' % number for number in range(MAX_SETS + 1)) + b"]",
    b'[{"a":"' + b"x" * MAX_ANSWER_BYTES + b'"}]',
)

# What a failure with this code means to whoever asked; all others are 502.
_STATUSES = {3: 400, 4: 504, 14: 503}
_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99, -1)


@dataclass(frozen=True, slots=True)
class Act:
    """What one backend does with a question.

    ``said`` is what it means to the oracle. ``answer`` makes the message from the digest that the hub says it knows;
    ``None`` is silence. ``cuts``: the first so many asks break the stream instead.
    """

    said: Said
    answer: Callable[[str], Answer] | None
    delay_s: float = 0.0
    cuts: int = 0


class World:
    """What is true at one backend: sets that come and go."""

    def __init__(self, chance: random.Random, backend: str, rules: Rules) -> None:
        self._chance = chance
        self._backend = backend
        self._rules = rules
        self._next = 0
        self._said: list[tuple[Sets, str]] = []
        self.sets: Sets = [self._new() for _ in range(chance.choice((0, 1, 3, 6, 8, 10, 12, 14)))]

    def _new(self) -> dict[str, Any]:
        self._next += 1
        # Sets of merged members find each other; those of others must not meet.
        shared = self._rules.combine in ("merge", "first")
        name = f"n{self._next}" if shared else f"{self._backend}-{self._next}"
        return {"name": name, f"{self._backend}-value": self._value()}

    def _value(self) -> Any:
        return self._chance.choice(_VALUES)

    def turn(self) -> None:
        """Let something happen."""
        chance, sets = self._chance, self.sets
        match chance.choices(range(8), (40, 15, 12, 12, 5, 5, 8, 8))[0]:
            case 1:
                sets.extend(self._new() for _ in range(chance.randint(1, 4)))
            case 2 if sets:
                del sets[chance.randrange(len(sets))]
            case 3:
                del sets[chance.randint(0, max(0, len(sets) // 2 - 1)) :]
            case 4:
                sets.clear()
            case 5:
                chance.shuffle(sets)
            case 6 if sets:
                chance.choice(sets)[f"{self._backend}-value"] = self._value()
            case 7 if self._said:
                before, _ = chance.choice(self._said)
                self.sets = [dict(one) for one in before]
        del self.sets[40:]

    def act(self) -> Act:  # noqa: PLR0911 - one return for each thing that it may do.
        """What it does with the next question."""
        chance = self._chance
        match chance.choices(range(9), (700, 90, 60, 30, 8, 30, 30, 20, 10))[0]:
            case 1:
                return self._mistake()
            case 2:
                code = chance.choice(_CODES)
                status = _STATUSES.get(code, 502)
                return Act(Bad(status, replaceable=status != 400), lambda _: fails(code))
            case 3:
                fresh_s = self._fresh()
                return Act(Unmodified(fresh_s), lambda _: _message(b"", "", fresh_s, not_modified=True))
            case 4:
                act = self._good()
                return Act(act.said, act.answer, cuts=1)
            case 5:
                act = self._good()
                return Act(act.said, act.answer, delay_s=chance.uniform(0.001, 0.01))
            case 6:
                return self._broken_rule()
            case 7 if self._said:
                return self._same_digest()
            case 8 if self._rules.deadline_s < 1:
                return Act(Bad(504), None)
        return self._good()

    def _fresh(self) -> float | None:
        return self._chance.choice((None, None, 0.0, 0.005, 0.02, 3600.0))

    def _good(self) -> Act:
        sets = [dict(one) for one in self.sets]
        raw = self._bytes(sets)
        fresh_s, digest = self._fresh(), self._chance.choice(("", _digest(sets)))
        self._said = [*self._said[-3:], (sets, _digest(sets))]
        honest = bool(digest) and self._chance.random() < 0.8

        def answer(known_digest: str) -> Answer:
            if honest and known_digest == digest:
                return _message(b"", digest, fresh_s, not_modified=True)
            return _message(raw, digest, fresh_s)

        return Act(Given(sets, digest, fresh_s, honest=honest), answer)

    def _same_digest(self) -> Act:
        """Another answer under a digest that was used before: a mistake, but one that hides nothing."""
        _, digest = self._chance.choice(self._said)
        sets = [dict(one) for one in self.sets]
        raw = self._bytes(sets)
        return Act(Given(sets, digest), lambda _: _message(raw, digest, None))

    def _bytes(self, sets: Sets) -> bytes:
        match self._chance.randrange(4):
            case 0:
                return json.dumps(sets, indent=1).encode()
            case 1:
                return json.dumps(sets).encode() + b"\n"
        return json.dumps(sets, ensure_ascii=False, separators=(",", ":")).encode()

    def _mistake(self) -> Act:
        chance = self._chance
        good = json.dumps([*self.sets, self._new()]).encode()
        raw = chance.choice(
            (
                good[: chance.randrange(1, len(good))],
                good + good,
                good + b"x",
                b"\xef\xbb\xbf" + good,
                good.decode().encode("utf-16"),
                good[1:],
                *MISTAKES,
                *MISTAKES,
            )
        )
        return Act(Bad(502), lambda _: says(raw))

    def _broken_rule(self) -> Act:
        chance = self._chance
        good = json.dumps(self.sets).encode()
        contradiction = _message(good, "d", None, not_modified=True)
        choices: tuple[tuple[Said, Answer], ...] = (
            (Bad(502), contradiction),
            (Bad(502), says(good, digest="x" * 129)),
            (Bad(502), Answer()),
            (Bad(502), says(self._repeated_key())),
        )
        said, answer = chance.choice(choices)
        return Act(said, lambda _: answer)

    def _repeated_key(self) -> bytes:
        good = json.dumps(self.sets).encode()[1:-1]
        return b"[" + good + (b"," if good else b"") + b'{"name":"%s-again","v":1,"v":"2"}]' % self._backend.encode()


def _message(raw: bytes, digest: str, fresh_s: float | None, *, not_modified: bool = False) -> Answer:
    response = backend_pb2.GetParamsResponse(parameters_json=raw, digest=digest, not_modified=not_modified)
    if fresh_s is not None:
        nanos = round(fresh_s * 1e9)
        response.fresh_for.CopyFrom(Duration(seconds=nanos // 10**9, nanos=nanos % 10**9))
    return Answer(response=response)


def _digest(sets: Sets) -> str:
    # Its own, and a different one for whatever differs in a byte.
    return f"d{random.Random(json.dumps(sets)).getrandbits(64):x}"


_VALUES: tuple[Any, ...] = (
    "x",
    "",
    "ümlaut 😀",
    'a "quoted" \\ line\n',
    "{{ .x }}",
    7,
    -12,
    1_234_567,
    123456789012345678901234567890,
    0.1,
    1.0,
    2.5e-9,
    1e21,
    True,
    False,
    None,
    [],
    {},
    ["a", 1, {"b": "c"}],
    {"deep": {"er": [1, 2, {"x": "y"}]}},
    [1, None],
)

# Every kind of route, several of them with members in common.
ROUTES: tuple[Rules, ...] = (
    Rules(name="plain", members=("b0",)),
    Rules(name="pair", members=("b0", "b1")),
    Rules(name="trio", members=("b2", "b0", "b1"), stale_s=6.0),
    Rules(name="merged", members=("b0", "b1"), combine="merge", on=("name",), unique_by=("name",)),
    Rules(name="merged-three", members=("b2", "b1", "b0"), combine="merge", on=("name",), stale_s=6.0),
    Rules(name="either", members=("b0", "b1"), combine="first"),
    Rules(name="any", members=("b2", "b1", "b0"), combine="first", stale_s=6.0, fresh_s=0.005, fresh_max_s=0.01),
    Rules(name="observed", members=("b1",), mode="observe", unique_by=("name",)),
    Rules(name="unguarded", members=("b2",), mode="off", fresh_s=0.01, fresh_max_s=0.02),
    Rules(name="cached", members=("b0", "b1"), fresh_s=0.01, fresh_max_s=0.02),
    Rules(name="texts", members=("b1",), numbers="text", nulls="drop", echo=("team",), unique_by=("name",)),
    Rules(name="strict", members=("b2", "b0"), nulls="refuse", required=("name",), max_drop=0.0, min_sets=1),
    Rules(name="released", members=("b0",), release_after_s=5.0, max_drop=0.3, min_sets=2),
    Rules(name="all", members=("b1", "b2"), release_after_s=5.0, fresh_s=0.01, fresh_max_s=0.01, stale_s=6.0),
    Rules(name="quick", members=("b0", "b1"), deadline_s=0.25),
    Rules(name="quick-stale", members=("b1",), deadline_s=0.25, stale_s=6.0),
    Rules(name="shy", members=("flaky",), unique_by=("name",)),
    Rules(name="shy-pair", members=("b0", "flaky"), stale_s=6.0),
    Rules(name="shy-first", members=("flaky", "b1"), combine="first"),
    Rules(name="(claims)", members=("b1", "b2"), claimed=True),
)
CLAIM = "claims.*"
BACKENDS = ("b0", "b1", "b2", "flaky")


def configured(rules: Rules) -> dict[str, Any]:
    """A route as ``hub.yaml`` has it."""
    made: dict[str, Any] = {
        "name": rules.name,
        "application_sets": [f"{rules.name}.*"],
        "backends": list(rules.members),
        "combine": {"merge": {"on": list(rules.on)}} if rules.combine == "merge" else rules.combine,
        "deadline": f"{rules.deadline_s}s",
        "required_keys": list(rules.required),
        "unique_by": list(rules.unique_by),
        "numbers": rules.numbers,
        "nulls": rules.nulls,
        "echo": list(rules.echo),
        "cache": {"fresh": f"{rules.fresh_s:f}s", "max": f"{rules.fresh_max_s:f}s"},
        "guard": {
            "mode": rules.mode,
            "max_drop": f"{rules.max_drop:.0%}",
            "min_sets": rules.min_sets,
            # The model judges each answer alone; what adds up has proofs of its own (test_losses.py).
            "window": "0s",
            "release": "manual" if rules.release_after_s is None else {"after": f"{rules.release_after_s}s"},
        },
    }
    if rules.stale_s is not None:
        made["stale_if_error"] = {"max_age": f"{rules.stale_s}s"}
    return made


def settings() -> dict[str, Any]:
    """The configuration of the hub for all stories."""
    backends: Mapping[str, Mapping[str, Any]] = {
        name: {"application_sets": [CLAIM]} if name in ("b1", "b2") else {"application_sets": []} for name in BACKENDS
    }
    return {
        "backends": backends,
        "routes": [configured(rules) for rules in ROUTES if not rules.claimed],
        "cache": {"max": "0.03s"},
        "guard": {"max_drop": "50%", "window": "0s"},
        # Each answer is judged by what the backends say at that moment, so none may be spared.
        "limits": {
            "max_answer_bytes": MAX_ANSWER_BYTES,
            "max_sets": MAX_SETS,
            "max_depth": MAX_DEPTH,
            "breaker_failures": 0,
        },
    }

"""What a backend is asked, and what it says.

Values only: nothing here knows gRPC or a clock's source.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the hub.

    `parameters` is `input.parameters` of the ApplicationSet's generator; integers are exact, whatever their size.
    `application_set_name` is what the caller claims, not a proven identity.
    `deadline_s` is a time of `time.monotonic()`: the function is cancelled then.
    `traceparent` is the W3C trace context of the caller, or empty.
    """

    application_set_name: str
    application_set_namespace: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    request_id: str = ""
    deadline_s: float = float("inf")
    traceparent: str = ""

    def time_left_s(self) -> float:
        """Return how long the hub still waits, in seconds; never less than 0."""
        return max(0.0, self.deadline_s - time.monotonic())


class Severity(Enum):
    """How loudly a notice speaks."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A remark for the hub's operators; Argo CD never sees it. The hub cuts it after 512 bytes."""

    text: str
    severity: Severity = Severity.WARNING


ParameterSets = Sequence[Mapping[str, Any]]
"""A list of dicts that JSON can hold; each has at least one key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer, with what there is to say about it.

    `fresh_for_s`: the hub may give this answer again for so long without asking; it clamps this to its own limits.
    `digest`: a fingerprint of your choice, at most 128 bytes. Equal digests must mean equal answers. Without one, it
    is computed from the parameter sets.
    """

    parameters: ParameterSets
    fresh_for_s: float | None = None
    notices: tuple[Notice, ...] = ()
    digest: str = ""


Function = Callable[[Question], Awaitable[ParameterSets | Answer]] | Callable[[Question], ParameterSets | Answer]
"""What a backend's author writes: async, or plain (then it runs in a thread)."""

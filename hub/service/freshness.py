"""How long an answer is fresh, and which backends ask for longer than their route allows.

The limit is applied silently to each answer, so it is said once for each backend. Knows no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.core.answer import Notice
from hub.core.events import AnswerNoticed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.core.routes import Route
    from hub.service.ask import Answered
    from hub.service.ports import Events

NOTICE_KIND = "fresh_for_limited"


class Limited(msgspec.Struct, frozen=True, kw_only=True):
    """A backend asks for ``wanted_s``, and the route allows ``allowed_s``."""

    route: str
    wanted_s: float
    allowed_s: float


class FreshnessLimits:
    """Applies ``cache.max``, and remembers whom it limits."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._limited: dict[str, Limited] = {}

    def fresh_for_s(self, route: Route, answered: Sequence[Answered], application_set_name: str) -> float:
        """How long the whole is fresh: as long as the member whose answer is fresh for the shortest time."""
        freshness = route.trust.freshness
        for one in answered:
            if one.fresh_for_s is not None and one.fresh_for_s > freshness.max_s:
                self._note(route, one.backend, one.fresh_for_s, application_set_name)
        return min([freshness.of(one.fresh_for_s) for one in answered])

    def of(self, backend: str) -> Limited | None:
        """How this backend was limited when it was noticed, or ``None``."""
        return self._limited.get(backend)

    def forget(self) -> None:
        """Say it again where it still holds: the limits may have changed."""
        self._limited.clear()

    def _note(self, route: Route, backend: str, wanted_s: float, application_set_name: str) -> None:
        if backend in self._limited:
            return
        allowed_s = route.trust.freshness.max_s
        self._limited[backend] = Limited(route=route.name, wanted_s=wanted_s, allowed_s=allowed_s)
        text = (
            f"fresh_for is {wanted_s:g} s, and cache.max of the route limits it to {allowed_s:g} s; raise cache.max to "
            "reuse answers for longer"
        )
        notice = Notice(kind=NOTICE_KIND, text=text, severity="info")
        self._events.emit(
            AnswerNoticed(backend=backend, route=route.name, application_set_name=application_set_name, notice=notice)
        )

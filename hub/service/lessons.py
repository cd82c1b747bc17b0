"""What an operator teaches with a decision about a held answer: keys, tried on that answer before they are written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hub.core.combine import sets_of
from hub.core.comparison import NOTHING
from hub.core.errors import KeysRefused
from hub.core.identity import by_member, packed
from hub.core.keys import misfit
from hub.core.view import compare_by
from hub.service.aside import aside
from hub.service.taught import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.core.comparison import Past
    from hub.core.keys import Identification, Keys
    from hub.core.routes import Route
    from hub.service.baselines import Known
    from hub.service.held import HeldAnswers, Latest
    from hub.service.ports import Change
    from hub.service.taught import TaughtKeys

_NOT_HEARD = (
    "the hub has been restarted since it held this answer, and cannot try the keys on it; nothing was changed. Repeat "
    "the command once Argo CD has asked again, within three minutes"
)


class Lesson(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Keys that fit: what has to be written, what the held answer loses under them, and how they are used then."""

    changes: list[Change]
    lost: bytes
    take: Callable[[], None]


class Lessons:
    """Prepares them."""

    def __init__(self, held: HeldAnswers, taught: TaughtKeys) -> None:
        self._held = held
        self._taught = taught

    async def prepared(self, key: str, known: Known | None, unique_by: tuple[str, ...], who: str) -> Lesson:
        """Try keys on the answer that is held, away from the loop, because that may be a large one.

        Raises:
            KeysRefused: they do not tell its sets apart, or the configuration or a backend says already which keys do.
        """
        latest = self._held.latest(key)
        if latest is None:
            raise KeysRefused(_NOT_HEARD)
        keys = self._taught.made(unique_by, who)
        targets, members = self._targets(latest), self._members(latest)
        found = self._taught.book_with(targets, keys).identification(latest.route)
        past = NOTHING if known is None else known.past
        lost = await aside(latest.answer, partial(_tried, latest, keys, members, found, past))
        return Lesson(
            changes=self._taught.writing(targets, keys),
            lost=lost,
            take=partial(self._taught.take, targets, keys),
        )

    def _targets(self, latest: Latest) -> tuple[Target, ...]:
        route = latest.route
        if not route.claimed:
            return (Target(kind="route", name=route.name),)
        return tuple(Target(kind="backend", name=member) for member in self._members(latest))

    def _members(self, latest: Latest) -> tuple[str, ...]:
        """The members whose sets may be taught keys."""
        found = self._taught.book.identification(latest.route)
        members = tuple(
            member for member in latest.answer.members if (keys := found.of(member)) is None or not keys.strict
        )
        if not members:
            raise KeysRefused(f"{_place(latest.route)} has keys already, {_where(latest.route)}; nothing was changed")
        return members


def _place(route: Route) -> str:
    return f'each backend of "{route.name}"' if route.claimed else f'route "{route.name}"'


def _where(route: Route) -> str:
    command = "backends list" if route.claimed else "routes"
    return f"from hub.yaml or its backends; to see them, run: appset-hub {command}"


def _tried(latest: Latest, keys: Keys, members: tuple[str, ...], found: Identification, past: Past) -> bytes:
    """What the held answer loses by these keys, packed."""
    _check(latest, keys, members)
    return packed(past.rows.keys() - frozenset(compare_by(past, latest.answer, found).after))


def _check(latest: Latest, keys: Keys, members: tuple[str, ...]) -> None:
    """Whether keys tell the sets of an answer apart: all of them, or those of each member that has no other keys."""
    sets, origins = sets_of(latest.answer), latest.answer.members
    together = len(members) == len(origins) and not latest.route.claimed
    parts = [sets] if together else [part for member, part in by_member(sets, origins) if member in members]
    for part in parts:
        problem = misfit(part, keys.keys)
        if problem:
            names = ", ".join(keys.keys)
            raise KeysRefused(f"[{names}] cannot identify the sets of this answer: {problem}; nothing was changed")

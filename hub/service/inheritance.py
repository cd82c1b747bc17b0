"""A question without a baseline takes over that of the same question as it was asked before.

A new version of Argo CD sends a namespace, a client or a route gets another name: the question is the same one, and
without what was accepted before, its next answer would be believed. Never from a client or a route that can still ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from hub.core import guard as core
from hub.core.events import BaselineInherited
from hub.core.uses import Origin, earlier, inherits, origin
from hub.service import records
from hub.service.baselines import MAX_CHANGES
from hub.service.ports import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hub.core.question import Question
    from hub.service.baselines import Baselines
    from hub.service.held import HeldAnswers
    from hub.service.losses import Losses
    from hub.service.ports import Events, Store, WallClock
    from hub.service.uses import Uses

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_input = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Askers(Protocol):
    """Knows who can still ask."""

    def has_client(self, client: str) -> bool:
        """Whether a client of this name is configured."""
        ...

    def has_route(self, route: str, application_set_name: str, parameters: Mapping[str, Any]) -> bool:
        """Whether questions about this name and input can still come to this route."""
        ...


class _Heir(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline that a question may take over."""

    key: str
    asked: Origin
    how: Literal["copy", "move"]
    used_at_s: float


class Inheritance:
    """Finds the baseline of a question under another key, and takes it over."""

    def __init__(  # noqa: PLR0913 - its collaborators, each of them named at the call
        self,
        *,
        store: Store,
        events: Events,
        clock: WallClock,
        uses: Uses,
        baselines: Baselines,
        held: HeldAnswers,
        losses: Losses,
        askers: Askers,
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._uses = uses
        self._baselines = baselines
        self._held = held
        self._losses = losses
        self._askers = askers

    async def inherit(self, key: str, question: Question, asked: Question) -> bool:
        """Give a question that has no baseline the one that it had under another key; whether there was one.

        ``asked`` is the question with the inputs that the guard ignores.

        Raises:
            StoreDamaged: it cannot be read.
            StoreFailed: it could not be read or written; nothing changed.
        """
        # Those that nobody can use any more first, then the one in use last.
        heirs = sorted(self._heirs(question, asked), key=lambda one: (one.how == "move", one.used_at_s))
        if not heirs:
            return False
        await self._take(heirs[-1], key, question)
        return True

    def _heirs(self, question: Question, asked: Question) -> Iterator[_Heir]:
        # As it was before the guard ignored some of its inputs, or ignored these all.
        for before in earlier(asked, question) if asked is not question else ():
            if (key := records.key(before)) in self._uses:
                yield _Heir(key=key, asked=origin(asked), how="move", used_at_s=self._uses.used_at_s(key))
        others = self._uses.others(question)
        if not others:
            return
        asks, parameters = origin(question), _decode_input(asked.input_json)
        for other in others:
            how = inherits(
                asks,
                other,
                client_gone=not self._askers.has_client(other.client),
                route_gone=not self._askers.has_route(other.route, question.application_set_name, parameters),
            )
            for one in dict.fromkeys((question, asked)) if how else ():
                if (key := records.key(other.of(one))) in self._uses:
                    yield _Heir(key=key, asked=other, how=how, used_at_s=self._uses.used_at_s(key))  # type: ignore[arg-type]  # not empty.

    async def _take(self, heir: _Heir, key: str, question: Question) -> None:
        subject = records.subject(question)
        changes = [
            Change(kind=kind, key=key, value=value)
            for kind in records.INHERITED
            if (value := await self._value(kind, heir.key, subject)) is not None
        ]
        if heir.how == "move":
            changes += self._held.moved(heir.key, key, question)
            changes += [Change(kind=kind, key=heir.key, value=None) for kind in records.OF_QUESTIONS]
        await self._store.apply(changes)
        self._uses.made(key, question)
        self._losses.inherit(key, question, heir.key, moved=heir.how == "move")
        if heir.how == "move":
            self._uses.forget(heir.key)
            self._baselines.forget(heir.key)
            self._held.move(heir.key, key, question)
        self._events.emit(
            BaselineInherited(
                route=question.route,
                application_set_name=question.application_set_name,
                client=heir.asked.client,
                from_route=heir.asked.route,
                namespace=heir.asked.namespace,
                how=heir.how,
            )
        )

    async def _value(self, kind: str, key: str, subject: core.Subject) -> bytes | None:
        """A record as it is, but for the question that it is about."""
        value = await self._store.get(kind, key)
        if value is None:
            return None
        try:
            fields = _decode_fields(value)
            if "subject" not in fields:
                return value
            fields["subject"] = msgspec.Raw(_encode(subject))
            if kind == records.HISTORY:
                fields["changes"] = msgspec.Raw(self._with_entry(fields["changes"]))
            return _encode(fields)
        except (msgspec.DecodeError, UnicodeError, KeyError) as error:
            raise records.damaged(kind, key) from error

    def _with_entry(self, changes: msgspec.Raw) -> bytes:
        """The history, with an entry that says where it comes from."""
        entry = core.Change(
            at_s=self._clock(), sets=0, came=0, went=0, came_shown=(), went_shown=(), members={}, how="inherited"
        )
        entries = msgspec.json.decode(changes, type=list[msgspec.Raw])
        if entries:
            last = msgspec.json.decode(entries[-1], type=core.Change)
            entry = msgspec.structs.replace(entry, sets=last.sets)
        return _encode([*entries[1 - MAX_CHANGES :], entry])

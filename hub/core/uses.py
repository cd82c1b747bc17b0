"""How long a question's baseline is kept, and which question may take over the baseline of another.

A baseline is evicted by disuse only, and inherited only from a question that is the same but for what was renamed.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal

import msgspec

from hub.core.guard import Subject  # noqa: TC001 - msgspec resolves the types of fields.
from hub.core.question import EMPTY_INPUT, Question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ONE_OFF_S = 86400.0
"""A question that was asked only once, at least this long ago, is dropped first when there is no room left."""

HARD_BOUND = 2
"""There is room for this many times the limit on kept questions, rather than drop one that is in use."""

_MAX_TRIED = 4  # Ignored inputs whose earlier combinations are looked for.

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode  # Values stay as they are, byte by byte.
_encode = msgspec.json.Encoder().encode


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """When a question that has a baseline was asked last, to a day (Unix seconds).

    ``again``: it was asked again after its first answer.
    """

    subject: Subject
    used_at_s: float
    again: bool = False


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked: all of a question but the name of its ApplicationSet and the input."""

    client: str
    route: str
    namespace: str

    def of(self, question: Question) -> Question:
        """The same question from here."""
        return msgspec.structs.replace(
            question, client=self.client, route=self.route, application_set_namespace=self.namespace
        )


def origin(question: Question) -> Origin:
    """Who asks a question."""
    return Origin(client=question.client, route=question.route, namespace=question.application_set_namespace)


def without(question: Question, ignored: Sequence[str]) -> Question:
    """A question as the guard sees it: without the top-level inputs that do not make it another one."""
    if not ignored or question.input_json == EMPTY_INPUT:
        return question
    parameters = _decode(question.input_json)
    kept = {key: value for key, value in parameters.items() if key not in ignored}
    if len(kept) == len(parameters):
        return question
    return msgspec.structs.replace(question, input_json=_encode(kept))


def earlier(asked: Question, question: Question) -> Iterator[Question]:
    """A question as it was before some of its inputs, or all of them, were ignored; ``question`` is without them."""
    ignored = _decode(asked.input_json).keys() - _decode(question.input_json).keys()
    if len(ignored) > _MAX_TRIED:
        yield asked
        return
    for count in range(len(ignored)):
        for some in combinations(sorted(ignored), count):
            yield without(asked, some)


def inherits(asks: Origin, asked: Origin, *, client_gone: bool, route_gone: bool) -> Literal["", "copy", "move"]:
    """Whether a question takes over the baseline of an equal one that others asked, and whether those keep theirs.

    ``client_gone`` and ``route_gone``: those of ``asked`` are not configured any more. A namespace may appear or
    disappear, because that depends on the version of Argo CD; two different ones are two ApplicationSets.
    """
    if asks == asked:
        return ""
    if asks.namespace != asked.namespace and asks.namespace and asked.namespace:
        return ""
    if (asks.client != asked.client and not client_gone) or (asks.route != asked.route and not route_gone):
        return ""
    return "move" if client_gone or route_gone else "copy"

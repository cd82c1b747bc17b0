"""What the hub writes down of questions: kinds and keys in the store, and how values are read and written."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from hub.core.errors import StoreDamaged
from hub.core.guard import Subject

if TYPE_CHECKING:
    from hub.core.question import Question

BASELINES = "baselines"
BASELINE_CHANGES = "baseline_changes"
HELD = "held"
HISTORY = "history"
AUDIT = "audit"
LAST_GOOD = "last_good"
LOSSES = "losses"
"""Of a question: the sets that its last accepted answers no longer had, as long as they count."""
OBSERVED = "observed_time"
"""How long hubs have run on this store."""
FREEZES = "freezes"
"""What operators have frozen: by route, or all."""
META = "meta"
"""Of the store itself: that it is initialised, under the key ``STORE``."""
STORE = "store"
KEYS = "keys"
"""Keys that operators have taught, under ``route/NAME`` or ``backend/NAME``."""
SEEN = "seen"
"""Of a backend: it has connected to this hub, or an operator has forgotten it."""

USES = "uses"
"""Of a question that has a baseline: when it was asked last."""

INHERITED = (BASELINES, BASELINE_CHANGES, HISTORY, LOSSES)
"""What a question takes over from another one."""

OF_QUESTIONS = (*INHERITED, HELD, USES, LAST_GOOD)
"""What is kept of a question under its key, and dropped together: a part of it would be mistaken for the whole."""

_KEY_BYTES = 16

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Decode(Protocol[T_co]):
    """Reads a value."""

    def __call__(self, value: bytes, /) -> T_co:
        """The value; raises ``msgspec.DecodeError`` if it is none."""
        ...


def read(decode: Decode[T], kind: str, key: str, value: bytes) -> T:
    """A record's value.

    Raises:
        StoreDamaged: it is none.
    """
    try:
        return decode(value)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise damaged(kind, key) from error


def damaged(kind: str, key: str) -> StoreDamaged:
    """The error for a record that is not what it should be."""
    return StoreDamaged(
        f'the record "{kind}" of "{key}" in the hub\'s store is damaged; Applications are left unchanged. Restore '
        "the store from a backup; to list what is damaged, run: appset-hub store check"
    )


_encode = msgspec.msgpack.Encoder().encode


def key(question: Question) -> str:
    """The store's key of a question: its ApplicationSet's name, and a digest of all that makes it this question."""
    return f"{question.application_set_name}/{digest(_encode(question))}"


def name_in(key: str) -> str:
    """The ApplicationSet's name in the store's key of a question; a name may have slashes of its own."""
    return key.rpartition("/")[0]


def digest(data: bytes) -> str:
    """A fingerprint."""
    return blake2b(data, digest_size=_KEY_BYTES).hexdigest()


def subject(question: Question) -> Subject:
    """A question for people: what its key says, in words; its input only as a digest."""
    return Subject(
        client=question.client,
        route=question.route,
        application_set_name=question.application_set_name,
        application_set_namespace=question.application_set_namespace,
        input_digest=digest(question.input_json)[:8],
    )

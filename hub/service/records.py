"""What the hub writes down of questions: kinds and keys in the store, and how values are read and written."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from hub.core.guard import Subject

if TYPE_CHECKING:
    from hub.core.question import Question

BASELINES = "baselines"
BASELINE_CHANGES = "baseline_changes"
HELD = "held"
HISTORY = "history"
AUDIT = "audit"
LAST_GOOD = "last_good"
SEEN = "seen"
"""Of a backend: it has connected to this hub, or an operator has forgotten it."""

OF_QUESTIONS = (BASELINES, BASELINE_CHANGES, HISTORY, LAST_GOOD)
"""What is kept of a question under its key, and dropped together: a part of it would be mistaken for the whole."""

_KEY_BYTES = 16

_encode = msgspec.msgpack.Encoder().encode


def key(question: Question) -> str:
    """The store's key of a question: its ApplicationSet's name, and a digest of all that makes it this question."""
    return f"{question.application_set_name}/{digest(_encode(question))}"


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

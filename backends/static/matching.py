"""Which entry answers a question. Pure."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from appset_hub import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appset_hub import Question

    from backends.static.config import Entry

_MOST_NAMED = 5


def find(entries: Sequence[Entry], question: Question) -> Entry | None:
    """Return the first entry for `question`, if there is one."""
    return next(
        (
            entry
            for entry in entries
            if _is_for(entry, question.application_set_name) and _holds(entry.when, question.parameters)
        ),
        None,
    )


def no_match(entries: Sequence[Entry], question: Question) -> InvalidInput:
    """Return the error that says which inputs there is an answer for."""
    known = [entry.when for entry in entries if _is_for(entry, question.application_set_name)]
    if not known:
        return InvalidInput(f'there is no answer for the ApplicationSet "{question.application_set_name}"')
    named = [json.dumps(when, ensure_ascii=False) for when in known[:_MOST_NAMED]]
    if len(known) > _MOST_NAMED:
        named.append(f"{len(known) - _MOST_NAMED} more")
    keys = {key for when in known for key in when}
    path = f"$.{keys.pop()}" if len(keys) == 1 else "$"
    return InvalidInput(f"there is no answer for this input, only for {', '.join(named)}", path=path)


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: `true` is not `1`, but `1` is `1.0`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _is_for(entry: Entry, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in entry.application_sets)


def _holds(when: dict[str, Any], parameters: dict[str, Any]) -> bool:
    return all(key in parameters and is_same(value, parameters[key]) for key, value in when.items())

"""The answers that every backend here gives, so that hub and peers carry the same bytes.

A question says what it wants in its parameters, all of them texts: ``sets`` how many parameter sets, ``change`` whether
the answer differs from all before, ``sleep_ms`` how long the backend takes, ``own`` whether it is this question's only.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

SIZES = (2, 50, 1_000, 10_000)

_FEW = 2  # As many as in the example of Argo CD's documentation.

_changes = itertools.count(1)


@functools.cache
def sets_of(count: int) -> list[dict[str, str]]:
    """Parameter sets: two are as in the documentation, about 80 bytes; more have about 180 bytes each."""
    if count == _FEW:
        return [{"key1": "val1", "key2": "val2"}, {"key1": "val2", "key2": "val2"}]
    return [
        {
            "branch": f"feature-{index:05}",
            "digest": f"sha256:{index:064x}",
            "link": f"https://git.example.com/org/repo/tree/feature-{index:05}",
        }
        for index in range(count)
    ]


@functools.cache
def json_of(count: int) -> bytes:
    """The same as a JSON array."""
    return json.dumps(sets_of(count), separators=(",", ":")).encode()


def next_change() -> str:
    """A text that no answer had before."""
    return f"{next(_changes):010}"


def changed(sets: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same sets, but for one value that is new each time."""
    return [{**sets[0], "change": next_change()}, *sets[1:]]


def ready_json(parameters: dict[str, Any]) -> bytes:
    """The answer to a question with as little work as can be: the JSON is ready, or all but one value of it."""
    kept = json_of(int(parameters["sets"]))
    if parameters.get("change") == "yes":
        return b'[{"change":"' + next_change().encode() + b'",' + kept[2:]
    return kept


def digest_of(parameters: dict[str, Any]) -> str:
    """A fingerprint of the answer to a question, known without making it; empty if the answer is new each time."""
    return "" if parameters.get("change") == "yes" else f"sets-{parameters['sets']}"


def sets_for(parameters: dict[str, Any]) -> list[dict[str, str]]:
    """The answer to a question, as an author would return it."""
    sets = sets_of(int(parameters["sets"]))
    if parameters.get("change") == "yes":
        return changed(sets)
    if parameters.get("own") == "yes":
        return [{**one, "n": parameters["n"]} for one in sets]
    return sets

"""A list in each parameter set whose elements become Applications: where it is, and what identifies its elements.

A matrix may pass such a list on to a list generator (``elementsYaml``), which makes an Application of each element. The
guard then counts elements: a set that stays while its list shrinks deletes as much as sets that are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.core.guard import ListPath, identities

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OF_ELEMENTS = "[]."
_NOTHING_ELSE = "{}"


def list_path(text: str) -> ListPath:
    """The path that a configuration writes as ``spec.branches`` or ``spec.branches[].name``."""
    keys, _, key = text.partition(_OF_ELEMENTS)
    return ListPath(keys=tuple(keys.split(".")), key=key)


def counted_identities(sets: Iterable[dict[str, Any]], unique_by: Sequence[str], path: ListPath) -> tuple[str, ...]:
    """The identities of all elements, each with that of its set; a set without such a list has its own.

    Without ``unique_by`` a set is identified by all that is in it but the list: one element less must not make it
    another set, or all of its elements would be others.
    """
    found: list[str] = []
    for one in sets:
        elements = _list_in(one, path.keys)
        (of_set,) = identities([one if elements is None or unique_by else _without(one, path.keys)], unique_by)
        if elements is None:
            found.append(of_set)
        else:
            names = _names(elements, path.key)
            found += names if of_set == _NOTHING_ELSE else identities([{"": [of_set, name]} for name in names], ("",))
    return tuple(found)


def _list_in(one: dict[str, Any], keys: Sequence[str]) -> list[Any] | None:
    value: Any = one
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value if type(value) is list else None


def _without(one: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    key, *inner = keys
    if inner:
        return {**one, key: _without(one[key], inner)}
    return {name: value for name, value in one.items() if name != key}


def _names(elements: list[Any], key: str) -> tuple[str, ...]:
    """What identifies each element: its value under ``key`` if it has one, otherwise all of it."""
    return identities([{"": one[key] if key and type(one) is dict and key in one else one} for one in elements], ("",))

"""A list in each parameter set whose elements become Applications: the guard then sees a set for each element.

A matrix may pass such a list on to a list generator (``elementsYaml``), which makes an Application of each element. A
set that stays while its list shrinks then deletes as much as sets that are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ELEMENTS = "[]"


class ListPath(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list is in each set, and the ``key`` that identifies its elements; empty: all that is in them.

    ``text`` is how a configuration writes it; no key of a set can be mistaken for it.
    """

    keys: tuple[str, ...]
    key: str
    text: str


def list_path(text: str) -> ListPath:
    """The path that is written ``spec.branches`` or ``spec.branches[].name``."""
    keys, _, key = text.removesuffix(_ELEMENTS).partition(f"{_ELEMENTS}.")
    return ListPath(keys=tuple(keys.split(".")), key=key, text=text if key else keys + _ELEMENTS)


def elements_in(sets: Iterable[dict[str, Any]], path: ListPath) -> int:
    """How many elements the lists have."""
    return sum(len(_list_in(one, path.keys) or ()) for one in sets)


def spread(
    sets: Sequence[dict[str, Any]], origins: Mapping[str, int], path: ListPath
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One set for each element of the list in a set, with the rest of that set, and how many of them each member has.

    The element is under the path's text. A set whose list is empty is gone; one that has no list there stays, with
    ``False`` for an element.
    """
    found, counts, start = list[dict[str, Any]](), dict[str, int](), 0
    for member, count in origins.items():
        before = len(found)
        for one in sets[start : start + count]:
            elements = _list_in(one, path.keys)
            if elements is None:
                found.append({**one, path.text: False})
            else:
                rest = _without(one, path.keys)
                found += [{**rest, path.text: _name(element, path.key)} for element in elements]
        counts[member] = len(found) - before
        start += count
    return found, counts


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


def _name(element: Any, key: str) -> Any:
    """What identifies an element: its value under ``key`` if it has one, otherwise all of it."""
    return element[key] if key and type(element) is dict and key in element else element

"""A list in each parameter set whose elements become Applications: the guard then sees a set for each element.

A matrix may pass such a list on to a list generator (``elementsYaml``), which makes an Application of each element. A
set that stays while its list shrinks then deletes as much as sets that are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.core.guard import ListPath

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OF_ELEMENTS = "[]"


def list_path(text: str) -> ListPath:
    """The path that a configuration writes as ``spec.branches`` or ``spec.branches[].name``."""
    keys, _, key = text.partition(f"{_OF_ELEMENTS}.")
    return ListPath(keys=tuple(keys.split(".")), key=key)


def element_key(path: ListPath) -> str:
    """The key under which a spread set has its element; no list has such a path."""
    return f"{'.'.join(path.keys)}{_OF_ELEMENTS}"


def spread(
    sets: Sequence[dict[str, Any]], origins: Mapping[str, int], path: ListPath
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One set for each element of the list in a set, with the rest of that set, and how many of them each member has.

    A set whose list is empty is gone; one that has no list there stays, with an empty element.
    """
    key, found, counts, start = element_key(path), list[dict[str, Any]](), dict[str, int](), 0
    for member, count in origins.items():
        before = len(found)
        for one in sets[start : start + count]:
            elements = _list_in(one, path.keys)
            if elements is None:
                found.append({**one, key: ""})
            else:
                rest = _without(one, path.keys)
                found += [{**rest, key: _name(element, path.key)} for element in elements]
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

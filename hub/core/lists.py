"""Lists in parameter sets that become shorter: each of their elements may be an Application, which nobody has said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.core.guard import allowed, is_over
from hub.core.identity import MAX_IDENTITY_CHARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.core.guard import GuardPolicy

MAX_SHOWN_LISTS = 5


def largest(lists: Mapping[str, int]) -> dict[str, int]:
    """The lists that a history keeps: those with the most elements, under keys that can be shown."""
    short = [(key, count) for key, count in lists.items() if len(key) <= MAX_IDENTITY_CHARS]
    return dict(sorted(short, key=lambda one: -one[1])[:MAX_SHOWN_LISTS])


def shrunk(before: Mapping[str, int], after: Mapping[str, int], policy: GuardPolicy) -> dict[str, tuple[int, int]]:
    """The lists that lost more elements than an answer may lose sets: by key, how many there were and are.

    One whose elements are counted is left out, because the guard judges it.
    """
    counted = policy.count.keys[0] if policy.count is not None else None
    return {
        key: (count, now)
        for key, count in before.items()
        if key != counted
        and is_over(count - (now := after.get(key, 0)), count, allowed(policy, count), policy.min_sets)
    }

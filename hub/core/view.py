"""An answer beside the past, as the guard sees both: if elements of a list count, by sets that are spread alike.

Where this has changed since the past was kept, the answer is looked at as the past was. So a new setting alone makes
nothing look as if it were missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.core.combine import seen_sets
from hub.core.comparison import align
from hub.core.elements import list_path
from hub.core.keys import identified

if TYPE_CHECKING:
    from hub.core.combine import Answer
    from hub.core.comparison import Aligned, Past
    from hub.core.keys import Identification


def compare(past: Past, answer: Answer, found: Identification) -> Aligned:
    """Find the sets of an answer among those of the past; ``found`` says which keys identify them."""
    if _count(past) == answer.basis.count:
        return align(past, answer, lambda: seen_sets(answer)[0], answer.origins)
    return compare_by(past, answer, found)


def compare_by(past: Past, answer: Answer, found: Identification) -> Aligned:
    """As ``compare``, where ``found`` is not what the answer was identified by."""
    count = _count(past)
    sets, origins = seen_sets(answer, count)
    which = identified(sets, origins, msgspec.structs.replace(found, count=list_path(count) if count else None))
    return align(past, which, lambda: sets, origins)


def sets_beside(past: Past, answer: Answer) -> list[dict[str, Any]]:
    """The sets of an answer, looked at as the past was."""
    return seen_sets(answer, _count(past))[0]


def _count(past: Past) -> str:
    return "" if past.basis is None else past.basis.count

"""The known word that an unknown one comes close to, for "did you mean"."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLOSE = 0.7  # Of 1: "enforced" and "enforce" are at 0.93, "merge" and "concat" at 0.18.
_MAX_OPTIONS = 1000  # Comparing with more takes longer than anyone reads.


def suggestion(word: str, options: Iterable[str], close: float = _CLOSE) -> str | None:
    """The option that was meant, as far as one can tell."""
    known = list(options)[:_MAX_OPTIONS]
    like = {_bare(option): option for option in reversed(known)}
    found = get_close_matches(_bare(word[:100]), like, n=1, cutoff=close)
    return like[found[0]] if found else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """The end of a message; empty when nothing comes close."""
    found = suggestion(word, options)
    return "" if found is None else f'; did you mean "{found}"?'


def _bare(word: str) -> str:
    """``applicationSets`` and ``application-sets`` are ``application_sets`` to anyone who writes them."""
    return word.lower().replace("_", "").replace("-", "")

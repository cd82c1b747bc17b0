"""What two glob patterns have to do with each other: whether one takes all of the other's names, or any of them.

``*`` any text, ``?`` one character, ``[abc]`` one of these; as ``hub.core.patterns`` reads them.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache

from hub.core.patterns import literal_prefix

_TOKEN = re.compile(r"\*+|\?|\[[^\]][^\]]*\]|.", re.DOTALL)
_STAR = "*"
_ANY = "?"
_REMEMBERED = 20_000


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that ``narrow`` matches is matched by ``wide``; false where that cannot be told."""
    if wide in (_STAR, narrow):
        return True
    if _is_odd(wide) or _is_odd(narrow):
        return False
    if not literal_prefix(narrow).startswith(literal_prefix(wide)):
        return False
    tokens = _tokens(wide)
    reached = _skip_stars(tokens, {0})
    for token in _tokens(narrow):
        stay = {at for at in reached if at < len(tokens) and tokens[at] == _STAR}
        step = {at + 1 for at in reached if at < len(tokens) and _takes(tokens[at], token)}
        reached = _skip_stars(tokens, stay | step)
    return len(tokens) in reached


def overlap(one: str, other: str) -> bool:
    """Whether there is a name that both match."""
    if _STAR in (one, other) or _is_odd(one) or _is_odd(other):
        return True
    first, second = literal_prefix(one), literal_prefix(other)
    if not (first.startswith(second) or second.startswith(first)):
        return False
    tokens, others = _tokens(one), _tokens(other)
    reached = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        for found in _steps(tokens, others, *waiting.pop()):
            if found not in reached:
                reached.add(found)
                waiting.append(found)
    return (len(tokens), len(others)) in reached


def _steps(tokens: tuple[str, ...], others: tuple[str, ...], at: int, other_at: int) -> list[tuple[int, int]]:
    token = tokens[at] if at < len(tokens) else ""
    other = others[other_at] if other_at < len(others) else ""
    steps = []
    if token == _STAR:
        steps += [(at + 1, other_at), *([(at, other_at + 1)] if other else [])]
    if other == _STAR:
        steps += [(at, other_at + 1), *([(at + 1, other_at)] if token else [])]
    if token and other and _STAR not in (token, other) and _may_be_equal(token, other):
        steps.append((at + 1, other_at + 1))
    return steps


def _skip_stars(tokens: tuple[str, ...], reached: set[int]) -> set[int]:
    found = set(reached)
    for at in reached:
        after = at
        while after < len(tokens) and tokens[after] == _STAR:
            after += 1
            found.add(after)
    return found


def _takes(token: str, other: str) -> bool:
    """Whether a token for one character takes all that another one may be."""
    if _STAR in (token, other):
        return False
    if token in (_ANY, other):
        return True
    return len(token) > 1 and len(other) == 1 and other != _ANY and fnmatchcase(other, token)


def _may_be_equal(token: str, other: str) -> bool:
    both_sets = len(token) > 1 and len(other) > 1
    return both_sets or _takes(token, other) or _takes(other, token)


def _is_odd(pattern: str) -> bool:
    """Whether it has a "]" as the first of a set, of which nothing is told here."""
    return "[]" in pattern or "[!]" in pattern


@lru_cache(_REMEMBERED)
def _tokens(pattern: str) -> tuple[str, ...]:
    return tuple(_STAR if token.startswith(_STAR) else token for token in _TOKEN.findall(pattern))

"""What two glob patterns have to do with each other: whether one takes all of the other's names, or any of them.

``*`` any text, ``?`` one character, ``[abc]`` one of these; as ``hub.core.patterns`` reads them. Comparing two patterns
with many stars takes thousands of steps, so the steps are counted and limited.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

from hub.core.patterns import literal_prefix, literal_suffix

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(r"\*+|\?|\[[^\]][^\]]*\]|.", re.DOTALL)
_STAR = "*"
_ANY = "?"

# In steps, each about half a microsecond.
_COMPARISON_STEPS = 2
_CHARACTERS_A_STEP = 4  # Of a pattern that is split into tokens for the first time.
_COMPILATION_STEPS = 300  # Of a set such as "[abc]".


class Comparisons:
    """Compares patterns until a number of steps is spent; from then on, no answer is certain."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._known: dict[str, tuple[str, ...]] = {}
        self._sets: dict[str, Callable[[str], object]] = {}

    @property
    def spent(self) -> bool:
        """Whether no answer is certain any more."""
        return self._left <= 0

    def spend(self, steps: int) -> None:
        """Count work that was done elsewhere."""
        self._left -= steps

    def covers(self, wide: str, narrow: str) -> bool:
        """Whether every name that ``narrow`` matches is matched by ``wide``; false if that is unknown."""
        self._left -= _COMPARISON_STEPS
        if wide in (_STAR, narrow):
            return True
        if self.spent or _is_odd(wide) or _is_odd(narrow):
            return False
        if not (
            literal_prefix(narrow).startswith(literal_prefix(wide))
            and literal_suffix(narrow).endswith(literal_suffix(wide))
        ):
            return False
        tokens = self._tokens(wide)
        reached = _skip_stars(tokens, {0})
        for token in self._tokens(narrow):
            self._left -= len(reached)
            if self.spent or not reached:
                return False
            stay = {at for at in reached if at < len(tokens) and tokens[at] == _STAR}
            step = {at + 1 for at in reached if at < len(tokens) and self._takes(tokens[at], token)}
            reached = _skip_stars(tokens, stay | step)
        return len(tokens) in reached

    def overlap(self, one: str, other: str) -> bool:
        """Whether there is a name that both match; true if that is unknown."""
        self._left -= _COMPARISON_STEPS
        if self.spent or _STAR in (one, other) or _is_odd(one) or _is_odd(other):
            return True
        if not (_begin_alike(one, other) and _end_alike(one, other)):
            return False
        tokens, others = self._tokens(one), self._tokens(other)
        end = len(tokens), len(others)
        reached = {(0, 0)}
        waiting = [(0, 0)]
        while waiting and end not in reached:
            self._left -= 2
            if self.spent:
                return True
            found = [at for at in self._steps(tokens, others, *waiting.pop()) if at not in reached]
            reached.update(found)
            waiting += found
        return end in reached

    def _steps(self, tokens: tuple[str, ...], others: tuple[str, ...], at: int, other_at: int) -> list[tuple[int, int]]:
        token = tokens[at] if at < len(tokens) else ""
        other = others[other_at] if other_at < len(others) else ""
        steps = []
        if token == _STAR:
            steps += [(at + 1, other_at), *([(at, other_at + 1)] if other else [])]
        if other == _STAR:
            steps += [(at, other_at + 1), *([(at + 1, other_at)] if token else [])]
        if token and other and _STAR not in (token, other) and self._may_be_equal(token, other):
            steps.append((at + 1, other_at + 1))
        return steps

    def _may_be_equal(self, token: str, other: str) -> bool:
        both_sets = len(token) > 1 and len(other) > 1
        return both_sets or self._takes(token, other) or self._takes(other, token)

    def _takes(self, token: str, other: str) -> bool:
        """Whether a token for one character takes all that another one may be."""
        if _STAR in (token, other):
            return False
        if token in (_ANY, other):
            return True
        return len(token) > 1 and len(other) == 1 and other != _ANY and self._set(token)(other) is not None

    def _set(self, token: str) -> Callable[[str], object]:
        found = self._sets.get(token)
        if found is None:
            self._left -= _COMPILATION_STEPS
            found = self._sets[token] = re.compile(translate(token)).match
        return found

    def _tokens(self, pattern: str) -> tuple[str, ...]:
        found = self._known.get(pattern)
        if found is None:
            self._left -= len(pattern) // _CHARACTERS_A_STEP
            found = tuple(_STAR if token.startswith(_STAR) else token for token in _TOKEN.findall(pattern))
            self._known[pattern] = found
        return found


def _begin_alike(one: str, other: str) -> bool:
    first, second = literal_prefix(one), literal_prefix(other)
    return first.startswith(second) or second.startswith(first)


def _end_alike(one: str, other: str) -> bool:
    first, second = literal_suffix(one), literal_suffix(other)
    return first.endswith(second) or second.endswith(first)


def _skip_stars(tokens: tuple[str, ...], reached: set[int]) -> set[int]:
    found = set(reached)
    for at in reached:
        after = at
        while after < len(tokens) and tokens[after] == _STAR:
            after += 1
            found.add(after)
    return found


def _is_odd(pattern: str) -> bool:
    """Whether a set in it starts with "]", which this module does not analyse."""
    return "[]" in pattern or "[!]" in pattern

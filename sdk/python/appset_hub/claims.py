"""What a claim may look like: glob patterns on the names of ApplicationSets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_PATTERNS = 1000
_LONGEST_PATTERN = 253
"""As the hub checks them."""

# What no ApplicationSet's name has, and no glob means: a claim with it can never match.
_REGEX = re.compile(r"[\^$()|\\+{}]|(?<![A-Za-z0-9\]?*])\.\*")
_SEPARATOR = re.compile(r"[,;\s]+")


def claim_problems(patterns: object) -> Iterator[str]:
    """Say what is wrong with a claim, one line for each problem."""
    key = "application_sets"
    if isinstance(patterns, str):
        yield f"{key}: expected a list of patterns, got text; did you mean {_as_list(patterns)}?"
    elif not isinstance(patterns, Sequence) or isinstance(patterns, bytes):
        yield f'{key}: expected a list of patterns, such as ["fb-*"], got {type(patterns).__name__}'
    elif len(patterns) > _MOST_PATTERNS:
        yield f"{key}: has {len(patterns)} patterns; at most {_MOST_PATTERNS} are allowed"
    else:
        for index, pattern in enumerate(patterns):
            problem = _pattern_problem(pattern)
            if problem:
                yield f"{key}[{index}]: {problem}"


def _pattern_problem(pattern: object) -> str:
    if not isinstance(pattern, str):
        return f"expected a pattern as text, got {type(pattern).__name__}"
    if not pattern or len(pattern) > _LONGEST_PATTERN or not pattern.isprintable():
        return f"expected 1 to {_LONGEST_PATTERN} printable characters, got {len(pattern)}: {pattern[:40]!r}"
    if _SEPARATOR.search(pattern):
        return f'"{pattern}" has a character that no ApplicationSet\'s name has; did you mean {_as_list(pattern)}?'
    if _REGEX.search(pattern):
        guess = _as_glob(pattern)
        hint = "" if _REGEX.search(guess) or not guess else f'; did you mean "{guess}"?'
        return f'"{pattern}" looks like a regular expression; expected a glob (*, ?, [abc]){hint}'
    return ""


def _as_list(text: str) -> str:
    patterns = (_as_glob(part) for part in _SEPARATOR.split(text) if part)
    return "[" + ", ".join(f'"{pattern}"' for pattern in patterns) + "]"


def _as_glob(regex: str) -> str:
    """Return the glob that a simple regular expression stands for."""
    text = regex.removeprefix("^").removesuffix("$")
    for expression, glob in ((".*", "*"), (".+", "?*"), (r"\.", "."), (r"\-", "-"), ("[^", "[!")):
        text = text.replace(expression, glob)
    return text

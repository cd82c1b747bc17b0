"""What is wrong with a configuration: each mistake with its place."""

from __future__ import annotations

from dataclasses import dataclass

from hub.core.texts import plain

_MAX_CHARS = 4096  # In one of them.
_MAX_SHOWN = 50  # In one text: a log line or a terminal has no use for thousands.


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake: where, and what.

    ``path`` is a setting such as ``routes[0].deadline``, or the variable or flag that overrides one; it is empty for
    the file as a whole. ``file`` is empty for what is not in the file; lines and columns count from 1.
    """

    path: str
    reason: str
    file: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.shown()

    def shown(self, kind: str = "") -> str:
        """One line, as compilers print it: ``hub.yaml:12: routes[0].deadline: …``; ``kind`` follows the place."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = ": ".join(part for part in (place, kind, self.path, self.reason) if part)
        return plain(text, _MAX_CHARS)


class ConfigurationError(Exception):
    """A configuration that cannot be used; ``str`` has a line for each mistake, up to a limit."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(limited([str(mistake) for mistake in mistakes])))
        self.mistakes = mistakes


def limited(lines: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - _MAX_SHOWN
    return lines if more <= 0 else [*lines[:_MAX_SHOWN], f"… and {more} more"]

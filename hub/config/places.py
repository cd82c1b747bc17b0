"""Where in the file, or in which variable or flag, a setting was written, and what was found wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hub.config.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.config.document import Node

At: TypeAlias = tuple[str | int, ...]
"""The path of a setting: ``("routes", 0, "deadline")``."""


def shown(at: At) -> str:
    """The path as people write it: ``routes[0].deadline``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
    return text.removeprefix(".")


class Places:
    """Finds the place of a setting. ``overrides`` goes from a path to the variable or flag that sets it."""

    def __init__(self, file: str, root: Node | None, overrides: Mapping[At, str]) -> None:
        self._file = file
        self._root = root
        self._overrides = overrides

    def written(self, at: At) -> bool:
        """Whether the setting was written at all, rather than left at its default."""
        return at in self._overrides or self._find(at)[1]

    def line(self, at: At) -> int | None:
        """The line of a setting, or of the nearest one around it."""
        return self._find(at)[0]

    def mistake(self, at: At, reason: str) -> Mistake:
        """A mistake in a setting."""
        if at in self._overrides:
            return Mistake(path=self._overrides[at], reason=reason)
        return Mistake(path=shown(at), reason=reason, file=self._file, line=self.line(at))

    def also(self, at: At) -> str:
        """Another place, for the end of a message: ``clients[0].name, line 3``."""
        line = self.line(at)
        return shown(at) if line is None else f"{shown(at)}, line {line}"

    def _find(self, at: At) -> tuple[int | None, bool]:
        node, line = self._root, None
        for part in at:
            value = None if node is None else node.value
            if isinstance(value, dict) and isinstance(part, str) and part in value and node is not None:
                line, node = node.keys[part][0], value[part]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                node = value[part]
                line = node.place[0]
            else:
                return line, False
        return line, True


class Findings:
    """All that is wrong (errors), doubtful (warnings) or could be better (hints), each once.

    A setting that is known to be bad is not judged again: what depends on it would only repeat the first error.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.errors: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self.hints: list[Mistake] = []
        self._bad: set[At] = set()
        self._around_bad: set[At] = set()

    def wrong(self, at: At, reason: str) -> None:
        """Something that cannot work."""
        if not self.depends_on_bad(at):
            self.errors.append(self.places.mistake(at, reason))

    def doubt(self, at: At, reason: str) -> None:
        """A setting that is allowed but probably not intended."""
        if not self.depends_on_bad(at):
            self.warnings.append(self.places.mistake(at, reason))

    def hint(self, at: At, reason: str) -> None:
        """What works, but could work better. Said when the configuration is checked, and at no other time."""
        if not self.depends_on_bad(at):
            self.hints.append(self.places.mistake(at, reason))

    def environment(self, name: str, reason: str) -> None:
        """A variable that is probably misspelled."""
        self.warnings.append(Mistake(path=name, reason=reason))

    def bad(self, at: At) -> None:
        """This setting has no usable value."""
        self._bad.add(at)
        self._around_bad |= {at[:length] for length in range(len(at))}

    def is_bad(self, at: At) -> bool:
        """Whether this very setting has no usable value."""
        return at in self._bad

    def depends_on_bad(self, at: At) -> bool:
        """Whether this setting, one around it or one inside it is bad."""
        return at in self._around_bad or any(at[:length] in self._bad for length in range(len(at) + 1))

    def sorted_errors(self) -> list[Mistake]:
        """As they are in the file, from the top; those that are not in it first."""
        return sorted(self.errors, key=_line)

    def sorted_warnings(self) -> list[Mistake]:
        """As ``sorted_errors``."""
        return sorted(self.warnings, key=_line)


def _line(mistake: Mistake) -> int:
    return mistake.line or 0

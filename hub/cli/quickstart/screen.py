"""Standard output, shared by several processes: a line at a time, under the name of who wrote it."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_COLOURS = (36, 32, 35, 33, 34)


class Screen:
    """Calls ``lost`` once nobody can read it any more: the terminal or the pipe is closed."""

    def __init__(self, *, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._writing = threading.Lock()
        self._colours: dict[str, int] = {}
        self._open = True

    def line(self, name: str, text: str) -> None:
        """Print a line of ``name``."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        label = f"{name:>8} │ "
        if sys.stdout.isatty():
            label = f"\033[{colour}m{label}\033[0m"
        self.text(label + text)

    def text(self, text: str) -> None:
        """Print a text; nothing happens once the screen is lost."""
        with self._writing:
            if not self._open:
                return
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except OSError:
                self._open = False
                self._lost()

"""What is wrong with a backend's configuration."""

from __future__ import annotations


class Mistake(Exception):
    """A mistake in a file, in one line: which file, where in it, and what to do."""

    def __init__(self, file: object, detail: str) -> None:
        super().__init__(f"{file}: {detail}")

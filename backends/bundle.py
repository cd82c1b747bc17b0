"""What the command needs of a bundled backend: the seam between `backends.cli` and each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from appset_hub import Answer, Question


class Bundle(Protocol):
    """A bundled backend whose configuration was read."""

    @property
    def application_sets(self) -> Sequence[str]:
        """The claim."""
        ...

    @property
    def unique_by(self) -> Sequence[str]:
        """The keys that identify a parameter set."""
        ...

    async def answer(self, question: Question) -> Answer:
        """Answer one question."""
        ...

    async def watch(self) -> None:
        """Follow what the answers are made of, until cancelled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of bundled backend.

    `open` reads a configuration file, and raises `Mistake`. `schema` returns the JSON Schema of that file.
    """

    name: str
    summary: str
    open: Callable[[Path], Bundle]
    schema: Callable[[], dict[str, Any]]

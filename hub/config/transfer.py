"""Settings on their way from the process that reads them to the one that uses them.

They travel in parts, because a whole configuration of the largest size would stop a loop for as long as it takes to
build. A part holds nothing but values of the core: what else pickle can do is refused.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hub.config.load import Report
    from hub.core.settings import Settings

LENGTH_BYTES = 4

_PER_PART = 100
_SPLIT = ("routes", "backends", "clients")


class NotTransferred(Exception):
    """What came is not what a reading process writes."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What reading came to. ``problems`` has a line for each mistake; without any there are ``settings``."""

    settings: Settings | None
    problems: tuple[str, ...]
    watched: Mapping[str, str]


def packed(report: Report, problems: list[str]) -> Iterator[bytes]:
    """The parts of a report; an empty one is the end."""
    settings = None if problems else report.settings
    yield pickle.dumps((tuple(problems), dict(report.watched)))
    if settings is not None:
        yield pickle.dumps(replace(settings, routes=(), backends=(), clients=()))
        for name in _SPLIT:
            whole = getattr(settings, name)
            for start in range(0, len(whole), _PER_PART):
                yield pickle.dumps((name, whole[start : start + _PER_PART]))
    yield b""


class Unpacking:
    """Puts the parts together again."""

    def __init__(self) -> None:
        self._first: tuple[tuple[str, ...], Mapping[str, str]] | None = None
        self._settings: Settings | None = None
        self._split: dict[str, list[Any]] = {name: [] for name in _SPLIT}

    def take(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            NotTransferred: it is none.
        """
        try:
            value = _Values(io.BytesIO(part)).load()
            if self._first is None:
                problems, watched = value
                self._first = problems, watched
            elif self._settings is None:
                self._settings = value
            else:
                name, entries = value
                self._split[name] += entries
        except Exception as error:
            raise NotTransferred(f"{type(error).__name__}: {error}") from error

    def outcome(self) -> Outcome:
        """The whole, after the last part.

        Raises:
            NotTransferred: something is missing.
        """
        if self._first is None or (self._settings is None and not self._first[0]):
            raise NotTransferred("a part is missing")
        problems, watched = self._first
        settings = self._settings
        if settings is not None:
            split = {name: tuple(entries) for name, entries in self._split.items()}
            settings = replace(settings, **split)  # type: ignore[arg-type]  # the fields named in _SPLIT.
        return Outcome(settings=settings, problems=problems, watched=watched)


class _Values(pickle.Unpickler):
    """Builds values of the core, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        is_value = module.startswith("hub.core.") and "." not in name and name[:1].isupper()
        is_struct = module.startswith("msgspec.") and name == "rebuild"
        if not (is_value or is_struct):
            raise pickle.UnpicklingError(f"{module}.{name} is no value")
        return super().find_class(module, name)

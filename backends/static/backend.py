"""Answers from the last good configuration, and follows its files."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from appset_hub import Answer, Notice

from backends.mistakes import Mistake
from backends.static.config import Loaded, load, read
from backends.static.matching import find, no_match

if TYPE_CHECKING:
    from pathlib import Path

    from appset_hub import Question

_log = logging.getLogger(__name__)


class StaticBackend:
    """One configuration file, and what it says.

    The files are looked at every `poll_s` seconds, by what is in them: that also sees the links which Kubernetes moves
    when a ConfigMap changes.
    """

    def __init__(self, path: Path, loaded: Loaded, *, poll_s: float = 1.0) -> None:
        self._path = path
        self._loaded = loaded
        self._poll_s = poll_s
        self._claim = loaded.application_sets
        self._keys = loaded.unique_by
        self._trouble: tuple[Notice, ...] = ()

    @classmethod
    def open(cls, path: Path) -> StaticBackend:
        """Read the configuration for the first time.

        Raises:
            Mistake: it is wrong, and there is nothing to fall back on.
        """
        return cls(path, load(path))

    @property
    def application_sets(self) -> tuple[str, ...]:
        """The claim, as it was at the start."""
        return self._claim

    @property
    def unique_by(self) -> tuple[str, ...]:
        """The keys that identify a parameter set, as they were at the start."""
        return self._keys

    async def answer(self, question: Question) -> Answer:
        """Return the parameter sets of the first entry that matches.

        Raises:
            InvalidInput: none does, and the configuration does not say that this means none.
        """
        entry = find(self._loaded.entries, question)
        if entry is not None:
            answer = entry.answer
        elif self._loaded.none_otherwise:
            answer = Answer(parameters=[])
        else:
            raise no_match(self._loaded.entries, question)
        return replace(answer, notices=self._trouble) if self._trouble else answer

    async def watch(self) -> None:
        """Read the files again whenever they change, until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Look at the files once. A mistake keeps the last good answers, and says so with each."""
        trouble = await self._look()
        notices = (Notice(text=trouble),) if trouble else ()
        if trouble and notices != self._trouble:
            _log.warning("%s", trouble)
        self._trouble = notices

    async def _look(self) -> str:
        """Take over what changed; return what is wrong with it, or nothing."""
        try:
            loaded = await asyncio.to_thread(self._load_changed)
        except Mistake as mistake:
            return f"{mistake}; the last good answers are given instead"
        except Exception:  # noqa: BLE001 - whatever a file does to its parser must not end the watch.
            _log.exception("%s: cannot be read again", self._path)
            return f"{self._path}: cannot be read again; the last good answers are given instead"
        if loaded is not self._loaded:
            self._loaded = loaded
            _log.info("%s: read again", self._path)
        if loaded.application_sets != self._claim:
            return f"{self._path}: application_sets: a new claim needs a restart of the backend"
        if loaded.unique_by != self._keys:
            return f"{self._path}: unique_by: other keys need a restart of the backend"
        return ""

    def _load_changed(self) -> Loaded:
        unchanged = all(read(path) == content for path, content in self._loaded.files.items())
        return self._loaded if unchanged else load(self._path)

"""Reads the configuration again when one of its files changes, and keeps the old one when the new one is bad."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import watchfiles

from hub.config.load import load
from hub.config.mistakes import ConfigurationError
from hub.core.events import ConfigurationReloaded
from hub.main.tasks import stop

if TYPE_CHECKING:
    from hub.config.load import Source
    from hub.core.settings import Settings
    from hub.main.wiring import Hub


class Reloader:
    """Reads the configuration again when one of its files changes, or when it is told to."""

    def __init__(self, hub: Hub, source: Source, settings: Settings) -> None:
        self._hub = hub
        self._source = source
        self._watched = settings.watched
        self._contents = _contents(settings.watched)
        self._again = asyncio.Event()

    def reload(self) -> None:
        """Read it again, changed or not."""
        self._contents = {}
        self._again.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._again.clear()
            watching = asyncio.ensure_future(self._changed())
            told = asyncio.ensure_future(self._again.wait())
            try:
                await asyncio.wait((watching, told), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (watching, told):
                    await stop(task)
            self._read()

    async def _changed(self) -> None:
        folders = _folders(self._watched)
        if not folders:
            await asyncio.Event().wait()
        async for _ in watchfiles.awatch(*folders, watch_filter=None, recursive=False):
            if _contents(self._watched) != self._contents:
                return

    def _read(self) -> None:
        self._contents = _contents(self._watched)
        try:
            settings = load(self._source)
        except ConfigurationError as error:
            self._hub.telemetry.emit(ConfigurationReloaded(problem=str(error).replace("\n", "; ")))
            return
        self._watched = settings.watched
        self._contents = _contents(settings.watched)
        self._hub.telemetry.emit(ConfigurationReloaded(needs_restart=self._hub.apply(settings)))


def _folders(paths: tuple[str, ...]) -> set[str]:
    """Where to watch: folders, because Kubernetes swaps a link beside the files when it updates a Secret."""
    return {str(folder) for path in paths for folder in (Path(path).resolve().parent, Path(path).absolute().parent)}


def _contents(paths: tuple[str, ...]) -> dict[str, bytes | None]:
    return {path: _content(Path(path)) for path in paths}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

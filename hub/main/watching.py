"""Notices that a file of the configuration has changed.

The files are looked at once a second, which works whatever happens to them, to their folders and to this process.
inotify only makes it faster: where it cannot be had, changes are found a second later.
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import watchfiles

from hub.config.files import MAX_SECRET_BYTES, CannotRead, digest, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

LOOK_S = 1.0

_UNKNOWN = "?"  # The digest of a file that this process cannot read now, whatever is in it.
_TEMPORARY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EINTR)

Marks = dict[str, tuple[int, ...]]


class FileWatch:
    """Knows what was read of each file; ``files`` goes from their paths to the digests of that."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = dict(files)
        self._marks: Marks = {}
        self._look = asyncio.Event()

    def look(self) -> None:
        """Look at once, instead of within a second."""
        self._look.set()

    def read(self, files: Mapping[str, str]) -> None:
        """The configuration has been read; these are its files now."""
        self._files = dict(files)
        self._marks = {}

    async def changed(self) -> tuple[str, ...]:
        """Wait until ``look`` was called or a second has passed; returns the files that are not as they were read."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._look.wait()
        except TimeoutError:
            pass
        self._look.clear()
        marks = await aside(lambda: _marks(self._files))
        if marks == self._marks:
            return ()
        digests = await aside(lambda: {path: _digest(path) for path in self._files})
        self._marks = marks
        return tuple(path for path, before in self._files.items() if digests[path] != before)

    async def listen(self) -> None:
        """Look as soon as inotify says that something happened, until cancelled.

        Raises:
            Exception: inotify cannot be had.
        """
        while True:
            files, folders = self._files, await aside(lambda: _folders(self._files))
            if not folders:
                await asyncio.sleep(LOOK_S)
                continue
            watching = watchfiles.awatch(
                *folders,
                watch_filter=None,
                recursive=False,
                ignore_permission_denied=True,
                rust_timeout=int(1000 * LOOK_S),
                yield_on_timeout=True,
            )
            async for changes in watching:
                if changes:
                    self.look()
                # A folder that is removed, or replaced by another, takes its watch with it.
                if files is not self._files or await aside(lambda: _folders(self._files)) != folders:
                    break


def _folders(paths: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Where to watch: folders, because Kubernetes swaps a link beside the files when it updates a Secret."""
    found = {}
    for path in paths:
        for folder in _parents(Path(path)):
            mark = _mark(str(folder))
            if mark:
                found[str(folder)] = mark[:2]
    return found


def _parents(path: Path) -> set[Path]:
    try:
        return {path.resolve().parent, path.absolute().parent}
    except (OSError, ValueError, RuntimeError):  # A name with a NUL, or links that go round in a circle.
        return set()


def _marks(paths: Iterable[str]) -> Marks:
    return {path: _mark(path) for path in paths}


def _mark(path: str) -> tuple[int, ...]:
    """What changes with a file, without opening it; empty if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as below.
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(path: str) -> str:
    try:
        return digest(read_file(Path(path), MAX_SECRET_BYTES))
    except CannotRead as error:
        cause = error.__cause__
        return _UNKNOWN if isinstance(cause, OSError) and cause.errno in _TEMPORARY else ""


async def aside(work: Callable[[], T]) -> T:
    """Do something in a thread, because a file system may hang; here, where there are no more threads."""
    try:
        return await asyncio.to_thread(work)
    except RuntimeError:
        return work()

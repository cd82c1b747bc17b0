"""The file of a store: one process at a time may have it, and it must stay the file that was opened.

Knows nothing of what is in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MAX_OWNER_BYTES = 200


class FileInUse(Exception):
    """Another process has the file; the text says which, if it is known."""


class FileLock:
    """A lock beside a file, so that it outlives the file's replacement; it ends with the process that holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            FileInUse: another process has it.
            OSError: there can be no lock here.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, _MAX_OWNER_BYTES, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise FileInUse(f"another hub uses it ({owner or 'its process is not known'})") from error
            raise
        self._descriptor = descriptor
        # Only for a message: on a full disk the lock holds without a name in it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            self.sign()

    def sign(self) -> None:
        """Write who holds the lock, and wait until that is on the disk; nothing without the lock.

        Raises:
            OSError: it cannot be written, with the disk's own reason.
        """
        if self._descriptor is not None:
            os.pwrite(self._descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            os.fsync(self._descriptor)

    def release(self) -> None:
        """Let others have the file. The lock's own file stays: removing it would let two processes hold locks."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class FileIdentity:
    """Which file was opened, and whether its path still leads to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def remember(self) -> None:
        """Take what is there now for the file that was opened; nothing if there is none yet."""
        self._opened = self._there()

    def fault(self) -> str:
        """What happened to the file; empty if it is still there."""
        there = self._there()
        if self._opened is None or there == self._opened:
            return ""
        return f"{self._path.name} was {'deleted' if there is None else 'replaced'}"

    def _there(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = self._path.stat()
            return found.st_dev, found.st_ino
        return None

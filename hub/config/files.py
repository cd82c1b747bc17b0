"""Files that a configuration names: only regular ones, only up to a size, and never for long.

Opening a pipe would wait for its writer, so nothing here waits.
"""

from __future__ import annotations

import os
import stat
from hashlib import blake2b
from pathlib import Path

MAX_SECRET_BYTES = 1024 * 1024  # Of a token, a certificate or a bundle of them.


class CannotRead(Exception):
    """A file that cannot be used; the text is the reason, without the name."""


def digest(data: bytes) -> str:
    """What tells one content of a file from another."""
    return blake2b(data, digest_size=16).hexdigest()


def read_file(path: Path, max_bytes: int) -> bytes:
    """A whole regular file.

    Raises:
        CannotRead: there is no such file, it is something else, or it is larger than ``max_bytes``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise CannotRead(_reason(error)) from error
    try:
        data = _regular(descriptor, max_bytes)
    except OSError as error:
        raise CannotRead(_reason(error)) from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise CannotRead(f"it is larger than {max_bytes // (1024 * 1024)} MiB")
    return data


def _regular(descriptor: int, max_bytes: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise CannotRead("it is a directory" if stat.S_ISDIR(mode) else "it is not a regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(max_bytes + 1)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "a path cannot contain a NUL character"


class Files:
    """The secrets and certificates of one configuration, found from its folder.

    ``offline`` reads none of them: they need not exist where a configuration is only checked.
    """

    def __init__(self, folder: Path, *, offline: bool) -> None:
        self._folder = folder
        self.offline = offline
        self.watched: dict[str, str] = {}
        """What has been read, with its digest; empty for what could not be read."""

    def watch(self, path: str) -> str:
        """Where the file is; a change of it is a change of the configuration."""
        resolved = str(self._folder / path)
        self.watched.setdefault(resolved, "")
        return resolved

    def seems_to_be(self, path: str) -> bool:
        """Whether a text is a path rather than a secret: the file exists, or the first folder of its path."""
        first, separator, _ = path.removeprefix("/").partition("/")
        start = "/" if path.startswith("/") else ""
        try:
            is_path = bool(separator) and first not in ("", ".", "..") and (self._folder / (start + first)).is_dir()
            return is_path or (self._folder / path).is_file()
        except (OSError, ValueError):
            return False

    def read(self, path: str) -> bytes:
        """The content of a file; nothing when offline.

        Raises:
            CannotRead: it cannot be read.
        """
        resolved = self.watch(path)
        if self.offline:
            return b""
        data = read_file(Path(resolved), MAX_SECRET_BYTES)
        self.watched[resolved] = digest(data)
        return data

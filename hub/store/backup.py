"""Copies of a store's file: made while a hub runs on it, checked before they count, and put back when none does."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import msgspec

from hub.store.file import FileInUse, FileLock
from hub.store.sqlite import DAMAGED, SCHEMA_VERSION, CannotOpenStore, records_of

if TYPE_CHECKING:
    from pathlib import Path

_PAGES_AT_ONCE = 1000  # Between two steps the hub may write.
_WITH_WAL = ("", "-wal", "-shm")


class CannotCopy(Exception):
    """A copy could not be made, or may not be; the text says which file and why. Nothing has changed."""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied: where to, how many records and bytes, and what the file that was replaced is called now."""

    path: str
    records: int
    size_bytes: int
    replaced: str = ""


def backup(store: Path, copy: Path, *, force: bool = False) -> Copied:
    """Copy the file of a store, also while a hub runs on it.

    Raises:
        CannotOpenStore: there is no sound store.
        CannotCopy: the copy exists, or cannot be written.
    """
    if copy.exists() and not force:
        raise CannotCopy(f"{copy} exists; choose another name, or overwrite it with --force")
    if _same(copy, store):
        raise CannotCopy(f"{copy} is the store itself")
    if (log := _beside(copy, "-wal")).exists():
        raise CannotCopy(f"{log} exists: a program uses {copy}, or ended while it did; choose another name")
    return _copied(store, copy)


def restore(copy: Path, store: Path, *, at: str) -> Copied:
    """Put a copy in the place of a store on which no hub runs; what was there is kept under another name.

    ``at`` is the moment, as it stands in that name.

    Raises:
        CannotOpenStore: the copy is not a sound store.
        CannotCopy: a hub uses the store, the copy is the store, or the file cannot be written.
    """
    if _same(copy, store):
        raise CannotCopy(f"{copy} is the store itself")
    lock = FileLock(store)
    try:
        lock.take()
    except (FileInUse, OSError) as error:
        raise CannotCopy(f"cannot restore {store}: {_reason(error)}") from error
    try:
        aside = store.with_name(f"{store.name}.replaced-{at}")
        return _copied(copy, store, aside=aside)
    finally:
        lock.release()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _copied(source: Path, target: Path, *, aside: Path | None = None) -> Copied:
    """Copy under another name, check the copy, and only then give it its name."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        try:
            records = _copy(source, new)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
                raise CannotOpenStore(f"{source} is damaged: {error}") from error
            raise CannotCopy(f"cannot copy {source} to {target}: {error}") from error
        if aside is None:
            new.replace(target)
            replaced = ""
        else:
            replaced = _exchanged(new, target, aside)
        _sync(target.parent)
    except OSError as error:
        raise CannotCopy(f"cannot write {target}: {_reason(error)}") from error
    finally:
        for ending in (*_WITH_WAL, "-journal"):
            with suppress(OSError):
                _beside(new, ending).unlink()
    return Copied(path=str(target), records=records, size_bytes=target.stat().st_size, replaced=replaced)


def _copy(source: Path, new: Path) -> int:
    with closing(_opened(source)) as reading:
        # Its mode first: what is in it is no one else's.
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, source.stat().st_mode & 0o777))
        with closing(sqlite3.connect(new)) as writing:
            reading.backup(writing, pages=_PAGES_AT_ONCE)
            # One file, without a log beside it.
            writing.execute("PRAGMA journal_mode = DELETE")
            records = _checked(source, writing)
    _sync(new)
    return records


def _opened(source: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise CannotOpenStore(f"cannot read {source} as a store: {error}") from error
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise CannotOpenStore(f"cannot read {source} as a store: {error}") from error
    return connection


def _checked(source: Path, copy: sqlite3.Connection) -> int:
    (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise CannotOpenStore(f"{source} is damaged: {' '.join(found.split())}")
    (version,) = copy.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise CannotOpenStore(f"{source} is not a store of this version of the hub")
    return sum(1 for _ in records_of(copy))


def _exchanged(new: Path, store: Path, aside: Path) -> str:
    """Give a store's name to another file; returns what the old one is called now, empty if there was none."""
    # A log without its store counts too: SQLite would take it for that of the new one.
    there = [ending for ending in _WITH_WAL if _beside(store, ending).exists()]
    if any(_beside(aside, ending).exists() for ending in _WITH_WAL):
        raise CannotCopy(f"{aside} exists; try again in a second")
    moved: list[str] = []
    try:
        for ending in there:
            _beside(store, ending).rename(_beside(aside, ending))
            moved.append(ending)
        new.replace(store)
    except OSError:
        for ending in moved:
            _beside(aside, ending).rename(_beside(store, ending))
        raise
    return str(aside) if there else ""


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

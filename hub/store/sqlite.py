"""A store in one SQLite file: for a hub of one replica.

SQLite blocks, so it has a thread of its own; a write has reached the disk when ``apply`` returns. One hub at a time has
the file, and the file has to stay where it was opened: what is written to a deleted one is gone with the process.

After a failure (a full or read-only disk, a lock of another program) each ``verify`` tries to write until that works.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from hub.core.errors import HubError, StoreFailed, StoreLost
from hub.core.events import StoreRecovered, StoreTrouble
from hub.service.ports import Fatal
from hub.store.file import FileIdentity, FileInUse, FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hub.service.ports import Change, Events

T = TypeVar("T")

SCHEMA_VERSION = 1

_BUSY_S = 5.0  # How long SQLite waits for another program's lock.
_LOOK_S = 5.0  # How often the store's thread is looked at, and how long it may take to answer before that is reported.

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stored (
    written INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (kind, key)
)
"""


DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_READ_ONLY = "the hub's store is read-only; its log has more"
_WHY = {
    sqlite3.SQLITE_FULL: "the disk of the hub's store is full; its log has more",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_BUSY: "another program has locked the hub's store; its log has more",
}
# SQLite calls each of these a disk I/O error.
_WHY_OF_DISK = {errno.EROFS: _READ_ONLY, errno.EPERM: _READ_ONLY, errno.ENOSPC: _WHY[sqlite3.SQLITE_FULL]}

_PROBE = "probe"  # The kind of the record that shows whether writing works again.
_MAX_PROBE_BYTES = 1024 * 1024


class CannotOpenStore(Exception):
    """The file cannot be used as a store; the text names it and says why."""


class ThreadEnded(Fatal):
    """The thread that reads and writes the file is gone."""


def records_of(connection: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Every record of a store's file: kind, key and value."""
    yield from connection.execute("SELECT kind, key, value FROM stored ORDER BY written")


class _Transaction:
    """Changes that will be written together."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.committing: asyncio.Future[None]


class SqliteStore:
    """Keeps everything in one table; open while its context lasts."""

    lasting = True

    def __init__(self, path: Path, events: Events, *, look_s: float = _LOOK_S, busy_s: float = _BUSY_S) -> None:
        self._path = path
        self._look_s = look_s
        self._busy_s = busy_s
        self._events = events
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._worker: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = FileLock(path)
        self._files = [FileIdentity(path), FileIdentity(path.with_name(path.name + "-wal"))]
        self._damage = ""
        self._failing_since_s: float | None = None
        self._refused_bytes = 0
        self._turn = asyncio.Lock()
        self._next: _Transaction | None = None

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        """All values of a kind whose key starts with ``prefix``, the one written last at the end."""
        return await self._run(lambda connection: self._load(connection, kind, prefix))

    async def get(self, kind: str, key: str) -> bytes | None:
        """One value."""
        return await self._run(lambda connection: self._get(connection, kind, key))

    async def keys(self, kind: str) -> Sequence[str]:
        """All keys of a kind."""
        return await self._run(lambda connection: self._keys(connection, kind))

    async def has(self, kind: str, prefix: str) -> bool:
        """Whether there is any value of a kind whose key starts with ``prefix``."""
        return await self._run(lambda connection: self._has(connection, kind, prefix))

    async def prune(self, kinds: Sequence[str], keep: int) -> None:
        """Drop all values of some kinds, but those under the ``keep`` keys to which any of them was written last."""
        await self._run(lambda connection: self._prune(connection, kinds, keep))

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes.

        Who comes while a transaction is under way shares the next one: reaching the disk costs more than writing.
        """
        if not changes:
            return
        if self._next is None:
            self._next = _Transaction()
            self._next.committing = asyncio.ensure_future(self._commit(self._next))
        transaction = self._next
        transaction.changes.extend(changes)
        # Shielded: a caller that hangs up must not take the others' writes with him.
        await asyncio.shield(transaction.committing)

    async def _commit(self, transaction: _Transaction) -> None:
        async with self._turn:
            self._next = None
            try:
                await self._run(lambda connection: self._apply(connection, transaction.changes))
            except StoreFailed:
                self._refused_bytes = max(self._refused_bytes, _size_bytes(transaction.changes))
                raise
            # A smaller one may fit where the refused one would not.
            if _size_bytes(transaction.changes) >= self._refused_bytes:
                self._has_written()

    async def verify(self) -> None:
        """Find out whether the file is still the one that was opened, and sound as far as it was read.

        After a failure, find out as well whether it can be written again.

        Raises:
            StoreFailed: it still cannot.
            StoreLost: it is another one, or damaged.
        """
        if self._failing_since_s is None:
            await self._run(lambda _: self._check_there())
            return
        size_bytes = self._refused_bytes
        await self._run(lambda connection: self._try_to_write(connection, size_bytes), is_probe=True)
        self._has_written()

    def _has_written(self) -> None:
        if self._failing_since_s is not None:
            self._events.emit(StoreRecovered(after_s=time.monotonic() - self._failing_since_s))
            self._failing_since_s, self._refused_bytes = None, 0

    def _has_failed(self, detail: str) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
        self._events.emit(StoreTrouble(detail=detail, failing=True))

    def _try_to_write(self, connection: sqlite3.Connection, size_bytes: int) -> None:
        """Write as much as was refused, so that a nearly full disk is not taken for one with space."""
        self._check_there()
        with connection:
            self._delete(connection, _PROBE, "")
            connection.execute(
                "INSERT INTO stored (kind, key, value) VALUES (?, '', zeroblob(?))", (_PROBE, size_bytes)
            )
        with connection:
            self._delete(connection, _PROBE, "")

    @staticmethod
    def _delete(connection: sqlite3.Connection, kind: str, key: str) -> None:
        connection.execute("DELETE FROM stored WHERE kind = ? AND key = ?", (kind, key))

    def _check_there(self) -> None:
        if fault := self._damage or next(filter(None, (file.fault() for file in self._files)), ""):
            raise StoreLost(
                f"the hub's store is lost while the hub runs: {fault}; Applications are left unchanged. Put the same "
                "file back, or restore it from a backup and restart the hub"
            )

    @staticmethod
    def _load(connection: sqlite3.Connection, kind: str, prefix: str) -> dict[str, bytes]:
        found = connection.execute(
            "SELECT key, value FROM stored WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY written",
            (kind, len(prefix), prefix),
        )
        return dict(found)

    @staticmethod
    def _get(connection: sqlite3.Connection, kind: str, key: str) -> bytes | None:
        found = connection.execute("SELECT value FROM stored WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if found is None else found[0]

    @staticmethod
    def _keys(connection: sqlite3.Connection, kind: str) -> list[str]:
        return [key for (key,) in connection.execute("SELECT key FROM stored WHERE kind = ?", (kind,))]

    @staticmethod
    def _has(connection: sqlite3.Connection, kind: str, prefix: str) -> bool:
        # In the index's order, the first key that is not before the prefix starts with it if any does.
        first = connection.execute(
            "SELECT key FROM stored WHERE kind = ? AND key >= ? ORDER BY key LIMIT 1", (kind, prefix)
        ).fetchone()
        return first is not None and first[0].startswith(prefix)

    @staticmethod
    def _prune(connection: sqlite3.Connection, kinds: Sequence[str], keep: int) -> None:
        of_kinds = f"kind IN ({', '.join('?' * len(kinds))})"
        latest = f"SELECT key FROM stored WHERE {of_kinds} GROUP BY key ORDER BY max(written) DESC LIMIT ?"  # noqa: S608 - question marks.
        with connection:
            connection.execute(
                f"DELETE FROM stored WHERE {of_kinds} AND key NOT IN ({latest})",  # noqa: S608 - as above.
                (*kinds, *kinds, keep),
            )

    def _apply(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        self._check_there()
        with connection:
            for change in changes:
                self._delete(connection, change.kind, change.key)
                if change.value is not None:
                    connection.execute(
                        "INSERT INTO stored (kind, key, value) VALUES (?, ?, ?)",
                        (change.kind, change.key, change.value),
                    )

    async def watch(self) -> None:
        """Report a thread that does not answer, until cancelled; requests that need it fail by their own deadlines.

        Raises:
            ThreadEnded: it never will.
        """
        while True:
            await asyncio.sleep(self._look_s)
            try:
                async with asyncio.timeout(self._look_s):
                    await asyncio.get_running_loop().run_in_executor(self._thread, _nothing)
            except TimeoutError:
                self._has_failed(f"no read or write has ended for {self._look_s:g} s")
            except RuntimeError:
                pass  # No more threads, or the store is closed; the next lines tell them apart.
            if self._worker is not None and not self._worker.is_alive():
                raise ThreadEnded("the thread of the hub's store has ended; nothing can be read or written any more")

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, is_probe: bool = False) -> T:
        connection = self._connection
        if connection is None:
            raise StoreFailed("the hub's store is closed")
        try:
            # Shielded: a caller that hangs up must not leave the connection in the middle of a write.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work, connection))
        except sqlite3.Error as error:
            refusal = await self._why_of_disk() if _code(error) == sqlite3.SQLITE_IOERR else None
            if not is_probe:  # What it finds was reported when the store began to fail.
                self._has_failed(str(error) if refusal is None else f"{error}: {refusal.strerror}")
            raise self._translated(error, refusal) from error
        except RuntimeError as error:  # The executor has ended, or Python is about to.
            self._events.emit(StoreTrouble(detail=str(error)))
            raise StoreFailed("the hub's store is closed") from error

    async def _why_of_disk(self) -> OSError | None:
        """What the disk says to a write beside the file: SQLite does not pass its reason on."""
        try:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._lock.sign))
        except OSError as error:
            return error
        except RuntimeError:
            pass  # The store is closed.
        return None

    def _translated(self, error: sqlite3.Error, refusal: OSError | None) -> HubError:
        code = _code(error)
        if code in DAMAGED:
            self._damage = f"{self._path.name} is damaged"
            return StoreLost(
                "the file of the hub's store is damaged; Applications are left unchanged. Restore it from a backup and "
                "restart the hub"
            )
        why = _WHY.get(code) if refusal is None else _WHY_OF_DISK.get(refusal.errno or 0)
        return StoreFailed(why or "the hub's store cannot be read or written; its log says why")

    async def __aenter__(self) -> Self:
        """Open the file, and make it when it is not there.

        Raises:
            CannotOpenStore: it cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            self._worker = await loop.run_in_executor(self._thread, threading.current_thread)
            self._connection = await loop.run_in_executor(self._thread, self._open)
        except (sqlite3.Error, OSError, FileInUse) as error:
            self._thread.shutdown()
            raise CannotOpenStore(f"cannot use {self._path} as a store: {_why(error)}") from error
        except CannotOpenStore:
            self._thread.shutdown()
            raise
        return self

    def _open(self) -> sqlite3.Connection:
        self._lock.take()
        try:
            connection = self._connect()
        except BaseException:
            self._lock.release()
            raise
        for file in self._files:
            file.remember()
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy_s, check_same_thread=False)
        try:
            self._check_sound(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._check_version(connection)
            with connection:
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                self._delete(connection, _PROBE, "")  # A hub that crashed may have left it.
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_sound(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            detail = " ".join(found.split())
            raise CannotOpenStore(
                f"cannot use {self._path} as a store: it is damaged ({detail}); restore it from a backup, or move it "
                "away"
            )

    def _check_version(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise CannotOpenStore(f"cannot use {self._path} as a store: a newer hub has written it")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown()
        self._lock.release()


def _nothing() -> None:
    """Shows that the thread works."""


def _size_bytes(changes: Sequence[Change]) -> int:
    """How much a probe has to write to stand in for these changes."""
    return min(sum(len(change.value or b"") for change in changes), _MAX_PROBE_BYTES)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # Without what makes it an extended one.


def _why(error: Exception) -> str:
    if _code(error) in DAMAGED:
        return f"it is damaged ({error}); restore it from a backup, or move it away"
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)

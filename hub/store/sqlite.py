"""A store in one SQLite file: for a hub of one replica.

SQLite blocks, so it has a thread of its own; a write has reached the disk when ``apply`` returns.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from hub.core.errors import StoreFailed
from hub.core.events import StoreTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hub.service.ports import Change, Events

T = TypeVar("T")

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stored (
    written INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (kind, key)
)
"""


class CannotOpenStore(Exception):
    """The file cannot be used as a store; the text names it and says why."""


class _Transaction:
    """Changes that will be written together."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.committing: asyncio.Future[None]


class SqliteStore:
    """Keeps everything in one table; open while its context lasts."""

    lasting = True

    def __init__(self, path: Path, events: Events) -> None:
        self._path = path
        self._events = events
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()
        self._next: _Transaction | None = None

    async def load(self, kind: str, prefix: str = "") -> Mapping[str, bytes]:
        """All values of a kind whose key starts with ``prefix``, the one written last at the end."""
        return await self._run(lambda connection: self._load(connection, kind, prefix))

    async def get(self, kind: str, key: str) -> bytes | None:
        """One value."""
        return await self._run(lambda connection: self._get(connection, kind, key))

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
            await self._run(lambda connection: self._apply(connection, transaction.changes))

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

    @staticmethod
    def _apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        with connection:
            for change in changes:
                connection.execute("DELETE FROM stored WHERE kind = ? AND key = ?", (change.kind, change.key))
                if change.value is not None:
                    connection.execute(
                        "INSERT INTO stored (kind, key, value) VALUES (?, ?, ?)",
                        (change.kind, change.key, change.value),
                    )

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StoreFailed("the hub's store is closed")
        try:
            # Shielded: a caller that hangs up must not leave the connection in the middle of a write.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work, connection))
        except sqlite3.Error as error:
            self._events.emit(StoreTrouble(detail=str(error)))
            raise StoreFailed("the hub's store cannot be read or written; its log says why") from error

    async def __aenter__(self) -> Self:
        """Open the file, and make it when it is not there.

        Raises:
            CannotOpenStore: it cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            self._connection = await loop.run_in_executor(self._thread, self._open)
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise CannotOpenStore(f"cannot use {self._path} as a store: {error}") from error
        except CannotOpenStore:
            self._thread.shutdown()
            raise
        return self

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._check_version(connection)
            with connection:
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection

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

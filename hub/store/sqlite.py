"""A store in one SQLite file: for a hub of one replica.

SQLite blocks, so it has a thread of its own; a write has reached the disk when ``apply`` returns.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from hub.core.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hub.service.ports import Change

T = TypeVar("T")

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stored (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""


class CannotOpenStore(Exception):
    """The file cannot be used as a store; the text names it and says why."""


class SqliteStore:
    """Keeps everything in one table; open while its context lasts."""

    lasting = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None

    async def load(self, kind: str) -> Mapping[str, bytes]:
        """All values of a kind, by key."""
        return await self._run(lambda connection: self._load(connection, kind))

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write all changes in one transaction."""
        await self._run(lambda connection: self._apply(connection, changes))

    @staticmethod
    def _load(connection: sqlite3.Connection, kind: str) -> dict[str, bytes]:
        return dict(connection.execute("SELECT key, value FROM stored WHERE kind = ?", (kind,)))

    @staticmethod
    def _apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        with connection:
            for change in changes:
                if change.value is None:
                    connection.execute("DELETE FROM stored WHERE kind = ? AND key = ?", (change.kind, change.key))
                else:
                    connection.execute(
                        "INSERT INTO stored (kind, key, value) VALUES (?, ?, ?) "
                        "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
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

"""What operators do with the file of a store while no hub runs on it."""

from __future__ import annotations

import secrets
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from hub.service import soundness
from hub.service.audit import AuditLog
from hub.service.keeping import Initialised, StoreKeeper
from hub.store.sqlite import CannotOpenStore, SqliteStore, records_of

if TYPE_CHECKING:
    from pathlib import Path

    from hub.core.events import Event

ID_BYTES = 8


class _Silence:
    """Where events go: the command itself says what it did."""

    def emit(self, event: Event) -> None:
        pass


async def init(path: Path, who: str) -> Initialised:
    """Initialise the store in a file, which is made if it is not there.

    Raises:
        CannotOpenStore: it cannot be used; a hub that runs on it is one reason.
        StoreFailed: it cannot be written.
    """
    events = _Silence()
    async with SqliteStore(path, events) as store:
        keeper = StoreKeeper(
            store=store,
            events=events,
            clock=time.time,
            audit=AuditLog(store, time.time),
            new_id=lambda: secrets.token_hex(ID_BYTES),
            expect_initialised=True,
        )
        await keeper.open()
        return await keeper.init(who)


def check(path: Path) -> soundness.Soundness:
    """Read everything in a file, also while a hub runs on it, and change nothing.

    Raises:
        CannotOpenStore: it is not there, or is no store that can be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            problems = [found for (found,) in connection.execute("PRAGMA integrity_check") if found != "ok"]
            if problems:
                return soundness.Soundness(initialised=False, records=0, damaged=tuple(problems))
            return soundness.check(records_of(connection))
    except sqlite3.Error as error:
        raise CannotOpenStore(f"cannot read {path} as a store: {error}") from error

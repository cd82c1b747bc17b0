"""Stores, as tests open them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.store.sqlite import SqliteStore
from tests.support.fakes import FakeEvents

if TYPE_CHECKING:
    from pathlib import Path


def sqlite_store(path: Path, events: FakeEvents | None = None) -> SqliteStore:
    """A store in a file, not yet open."""
    return SqliteStore(path, events or FakeEvents())

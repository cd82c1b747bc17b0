"""A store on a disk that fails: what cannot be written is refused, and it works again once the disk does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from hub.core.errors import StoreFailed
from hub.core.events import StoreRecovered, StoreTrouble
from hub.service.ports import Change
from hub.store.sqlite import CannotOpenStore, SqliteStore
from tests.support.disks import ext4_disk, small_disk, unchangeable
from tests.support.fakes import FakeEvents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_S = 0.05
LARGE = b"x" * 300_000


def put(key: str, value: bytes = b"x") -> Change:
    return Change(kind="claims", key=key, value=value)


def store_in(folder: Path, events: FakeEvents, *, busy_s: float = BUSY_S) -> SqliteStore:
    return SqliteStore(folder / "hub.db", events, busy_s=busy_s)


async def refused(store: SqliteStore, change: Change, why: str) -> None:
    with pytest.raises(StoreFailed, match=why):
        await store.apply([change])


async def still_failing(store: SqliteStore, events: FakeEvents) -> None:
    with pytest.raises(StoreFailed):
        await store.verify()
    assert events.of(StoreRecovered) == []


async def recovered(store: SqliteStore, events: FakeEvents, *keys: str) -> None:
    """It finds out by itself that it works, says so once, and has written nothing that was refused."""
    await store.verify()
    await store.verify()
    (event,) = events.of(StoreRecovered)
    assert event.after_s > 0
    assert set(await store.load("claims")) == set(keys)
    await store.apply([put("after", LARGE)])
    assert set(await store.load("claims")) == {*keys, "after"}
    assert len(events.of(StoreRecovered)) == 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes inside the block."""
    with closing(sqlite3.connect(folder / "hub.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_full_disk_is_named_and_the_store_works_again_once_there_is_space(tmp_path: Path) -> None:
    events = FakeEvents()
    with small_disk(tmp_path / "disk") as disk:
        async with store_in(disk.folder, events) as store:
            await store.apply([put("a")])
            disk.fill()
            await refused(store, put("b", LARGE), "the disk of the hub's store is full")
            assert [event.failing for event in events.of(StoreTrouble)] == [True]
            assert set(await store.load("claims")) == {"a"}
            await still_failing(store, events)
            disk.free()
            await recovered(store, events, "a")


async def test_space_for_less_than_what_was_refused_is_not_enough(tmp_path: Path) -> None:
    events = FakeEvents()
    with small_disk(tmp_path / "disk") as disk:
        async with store_in(disk.folder, events) as store:
            await store.apply([put("a")])
            disk.fill(but_bytes=100_000)
            await refused(store, put("b", LARGE), "full")
            await still_failing(store, events)
            await store.apply([put("small")])
            assert events.of(StoreRecovered) == []
            disk.free()
            await recovered(store, events, "a", "small")


async def test_a_probe_that_fails_is_not_reported_again(tmp_path: Path) -> None:
    events = FakeEvents()
    async with store_in(tmp_path, events) as store:
        with locked(tmp_path):
            await refused(store, put("a"), "locked")
            await still_failing(store, events)
            await still_failing(store, events)
        assert len(events.of(StoreTrouble)) == 1


async def test_a_disk_that_turns_read_only_is_named_and_can_still_be_read(tmp_path: Path) -> None:
    events = FakeEvents()
    with ext4_disk(tmp_path / "disk") as disk:
        async with store_in(disk.folder, events) as store:
            await store.apply([put("a")])
            disk.break_()
            await refused(store, put("b"), "the hub's store is read-only")
            assert events.of(StoreTrouble)[0].detail.endswith(": Read-only file system")
            assert set(await store.load("claims")) == {"a"}
            await still_failing(store, events)
        with pytest.raises(CannotOpenStore, match="Read-only file system"):
            await store_in(disk.folder, events).__aenter__()


async def test_a_file_that_turns_read_only_is_written_again_once_it_may_be(tmp_path: Path) -> None:
    events = FakeEvents()
    with ext4_disk(tmp_path / "disk") as disk:
        async with store_in(disk.folder, events) as store:
            await store.apply([put("a")])
            with unchangeable(disk.folder / "hub.db-wal", disk.folder / "hub.db.lock"):
                await refused(store, put("b"), "the hub's store is read-only")
                assert set(await store.load("claims")) == {"a"}
                await still_failing(store, events)
            await recovered(store, events, "a")


async def test_a_folder_that_turns_read_only_does_not_matter_to_a_store_that_is_open(tmp_path: Path) -> None:
    events = FakeEvents()
    with ext4_disk(tmp_path / "disk") as disk:
        async with store_in(disk.folder, events) as store:
            with unchangeable(disk.folder):
                await store.apply([put("a")])
                await store.verify()
            assert events.all == []


async def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path: Path) -> None:
    events = FakeEvents()
    async with store_in(tmp_path, events, busy_s=60) as store:
        with locked(tmp_path):
            writing = asyncio.ensure_future(store.apply([put("a")]))
            done, _ = await asyncio.wait({writing}, timeout=0.2)
            assert not done
        await writing
        assert events.all == []


async def test_a_lock_that_lasts_is_named_and_the_store_works_again_without_it(tmp_path: Path) -> None:
    events = FakeEvents()
    async with store_in(tmp_path, events) as store:
        with locked(tmp_path):
            await refused(store, put("a"), "another program has locked the hub's store")
            assert await store.load("claims") == {}
            await still_failing(store, events)
        await recovered(store, events)


async def test_what_a_crash_leaves_of_a_probe_is_gone_after_the_next_start(tmp_path: Path) -> None:
    async with store_in(tmp_path, FakeEvents()) as store:
        await store.apply([Change(kind="probe", key="", value=b"x")])
    async with store_in(tmp_path, FakeEvents()) as store:
        assert await store.keys("probe") == []


async def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    async with store_in(tmp_path, FakeEvents()) as store:
        with locked(tmp_path):
            await refused(store, put("a", LARGE), "locked")
        await store.verify()
        assert await store.keys("probe") == []

"""What every store promises, held against each of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.errors import StoreFailed, StoreLost
from hub.service.ports import Change
from hub.store.memory import MemoryStore
from hub.store.sqlite import SCHEMA_VERSION, CannotOpenStore, SqliteStore
from tests.support.fakes import FakeStore
from tests.support.stores import sqlite_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture(params=["memory", "sqlite", "the tests' own"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Opens a store; a lasting one is the same each time."""

    @asynccontextmanager
    async def fake() -> AsyncIterator[FakeStore]:
        yield FakeStore()

    openers: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
        "memory": MemoryStore,
        "sqlite": lambda: sqlite_store(tmp_path / "hub.db"),
        "the tests' own": fake,
    }
    return openers[request.param]


def put(key: str, value: bytes = b"x", kind: str = "claims") -> Change:
    return Change(kind=kind, key=key, value=value)


def drop(key: str, kind: str = "claims") -> Change:
    return Change(kind=kind, key=key, value=None)


async def test_what_was_written_is_read(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        assert await store.load("claims") == {}
        await store.apply([put("a", b"1"), put("b", b"2")])
        assert await store.load("claims") == {"a": b"1", "b": b"2"}
        assert await store.get("claims", "a") == b"1"
        assert await store.get("claims", "c") is None


async def test_kinds_are_apart(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a", b"1"), put("a", b"2", "held")])
        await store.apply([drop("a")])
        assert await store.load("claims") == {}
        assert await store.load("held") == {"a": b"2"}
        assert await store.get("claims", "a") is None


async def test_a_later_value_replaces_the_one_before(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a", b"1")])
        await store.apply([put("a", b"2"), drop("b")])
        assert await store.load("claims") == {"a": b"2"}


async def test_the_changes_of_a_batch_are_made_in_order(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a", b"1"), drop("a"), put("a", b"2"), put("b", b"1"), drop("b")])
        assert await store.load("claims") == {"a": b"2"}


async def test_a_batch_of_nothing_changes_nothing(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([])
        assert await store.load("claims") == {}


@pytest.mark.parametrize("key", ["", "a/b", "ä€😀", "%", "_", "a'b", "*", "x" * 1000], ids=repr)
@pytest.mark.parametrize("value", [b"", b"\0\xff", b"x" * 100_000], ids=["empty", "binary", "large"])
async def test_keys_and_values_come_back_as_they_were(opened: Callable[[], Any], key: str, value: bytes) -> None:
    async with opened() as store:
        await store.apply([put(key, value)])
        assert await store.load("claims") == {key: value}
        assert await store.get("claims", key) == value


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("fb-1/", ["fb-1/a", "fb-1/b"]), ("fb-%", []), ("fb_1", []), ("FB-1/", []), ("ä", ["ä/x"]), ("", None)],
    ids=["a prefix", "a percent sign", "an underscore", "capitals", "not ASCII", "none"],
)
async def test_a_prefix_is_taken_literally(opened: Callable[[], Any], prefix: str, keys: list[str] | None) -> None:
    every = ["fb-1/a", "fb-10/a", "fb-1/b", "ä/x"]
    async with opened() as store:
        await store.apply([put(key) for key in every])
        assert list(await store.load("claims", prefix)) == (every if keys is None else keys)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("fb-1/", True), ("fb-10/", True), ("fb-", True), ("", True), ("fb", True), ("ä/", True),
     ("fb-1/c", False), ("fb-0", False), ("fb-2", False), ("FB-1/", False), ("fb-%", False), ("fb_1", False),
     ("z", False)],
)  # fmt: skip
async def test_a_prefix_has_a_value_or_not(opened: Callable[[], Any], prefix: str, *, found: bool) -> None:
    async with opened() as store:
        await store.apply([put(key) for key in ("fb-1/a", "fb-10/a", "fb-1/b", "ä/x")] + [put("z", kind="held")])
        assert await store.has("claims", prefix) == found
        assert not await store.has("history", prefix)


async def test_what_was_written_last_comes_last(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a"), put("b"), put("c")])
        await store.apply([put("a", b"again")])
        assert list(await store.load("claims")) == ["b", "c", "a"]


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (2, ["c", "a"]), (3, ["b", "c", "a"]), (100, ["b", "c", "a"])])
async def test_pruning_keeps_what_was_written_last(opened: Callable[[], Any], keep: int, kept: list[str]) -> None:
    async with opened() as store:
        await store.apply([put("a"), put("b"), put("c"), put("a", b"again"), put("z", kind="held")])
        await store.prune(["claims"], keep)
        assert list(await store.load("claims")) == kept
        assert list(await store.load("held")) == ["z"]


async def test_kinds_that_belong_together_are_pruned_by_what_was_written_last_to_any(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a"), put("b"), put("c"), put("z", kind="held")])
        await store.apply([put("a", kind="history")])
        await store.prune(["claims", "history"], 2)
        assert sorted(await store.load("claims")) == ["a", "c"]
        assert list(await store.load("history")) == ["a"]
        assert list(await store.load("held")) == ["z"]


async def test_what_is_loaded_is_a_copy(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a")])
        before = await store.load("claims")
        await store.apply([put("b")])
        assert list(before) == ["a"]


async def test_writers_at_the_same_time_lose_nothing(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await asyncio.gather(*(store.apply([put(str(number)), put(f"{number}b")]) for number in range(50)))
        assert len(await store.load("claims")) == 100


async def test_a_store_that_lasts_is_there_again_after_a_restart(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a", b"1"), put("b"), drop("b")])
        lasting = store.lasting
    async with opened() as store:
        assert await store.load("claims") == ({"a": b"1"} if lasting and isinstance(store, SqliteStore) else {})


async def test_a_batch_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as store:
        await store.apply([put("a", b"1")])
        impossible = Change(kind="claims", key="\udc00", value=b"x")
        with pytest.raises((StoreFailed, UnicodeError)):
            await store.apply([put("a", b"2"), drop("a"), put("c"), impossible])
        assert await store.load("claims") == {"a": b"1"}
        await store.apply([put("b")])
        assert list(await store.load("claims")) == ["a", "b"]


async def test_a_caller_who_is_cancelled_leaves_the_store_whole(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as store:
        writing = [asyncio.ensure_future(store.apply([put(str(number))])) for number in range(10)]
        await asyncio.wait(writing[:1])
        for task in writing[1:]:
            task.cancel()
        await asyncio.wait(writing)
        await store.apply([put("after")])
        assert "after" in await store.load("claims")


async def test_a_file_that_another_process_holds_is_a_refusal_and_not_a_wait_for_ever(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as store:
        other = sqlite3.connect(tmp_path / "hub.db")
        other.execute("DROP TABLE stored")
        other.commit()
        other.close()
        for failing in (store.load("claims"), store.get("claims", "a"), store.apply([put("a")]), store.prune(["c"], 1)):
            with pytest.raises(StoreFailed, match="cannot be read or written"):
                await failing


async def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as store:
        pass
    with pytest.raises(StoreFailed, match="closed"):
        await store.load("claims")


def bare(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


async def test_a_file_of_a_newer_hub_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    bare(path, SCHEMA_VERSION + 1)
    with pytest.raises(CannotOpenStore, match=r"hub\.db.* a newer hub has written it"):
        await sqlite_store(path).__aenter__()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


@pytest.mark.parametrize("kind", ["a folder", "no folder", "something else"])
async def test_a_file_that_cannot_be_a_store_is_named(tmp_path: Path, kind: str) -> None:
    paths = {"a folder": tmp_path, "no folder": tmp_path / "none" / "hub.db", "something else": tmp_path / "text"}
    (tmp_path / "text").write_text("this is no database" * 1000)
    with pytest.raises(CannotOpenStore) as refused:
        await sqlite_store(paths[kind]).__aenter__()
    assert str(refused.value).startswith(f"cannot use {paths[kind]} as a store: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    await asyncio.to_thread(tmp_path.chmod, 0o500)
    with pytest.raises(CannotOpenStore, match="as a store"):
        await sqlite_store(tmp_path / "hub.db").__aenter__()


async def test_a_second_hub_on_one_file_is_turned_away_and_told_who_has_it(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as one:
        await one.apply([put("a")])
        with pytest.raises(CannotOpenStore, match=rf"another hub uses it \(pid {os.getpid()} on "):
            await sqlite_store(tmp_path / "hub.db").__aenter__()
        assert set(await one.load("claims")) == {"a"}
    async with sqlite_store(tmp_path / "hub.db") as again:
        assert set(await again.load("claims")) == {"a"}


async def test_a_store_that_is_there_is_fine(opened: Callable[[], Any]) -> None:
    async with opened() as store:
        await store.apply([put("a")])
        await store.verify()


@pytest.mark.parametrize("ending", ["", "-wal"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_is_gone_is_noticed_before_anything_is_written(tmp_path: Path, how: str, ending: str) -> None:
    file, aside = tmp_path / f"hub.db{ending}", tmp_path / "aside"
    async with sqlite_store(tmp_path / "hub.db") as store:
        await store.apply([put("a")])
        file.rename(aside)
        if how == "replaced":
            file.write_bytes(aside.read_bytes())
        for use in (store.verify(), store.apply([put("b")])):
            with pytest.raises(StoreLost, match=f"hub.db{ending} was {how}; Applications are left unchanged"):
                await use
        aside.rename(file)
        await store.verify()
        await store.apply([put("c")])
        assert set(await store.load("claims")) == {"a", "c"}


async def test_damage_that_is_met_while_it_runs_is_a_loss_until_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "hub.db"
    async with sqlite_store(file) as store:
        await store.apply([put(f"{number:05}", b"x" * 2000) for number in range(4000)])  # More than is cached.
    async with sqlite_store(file) as store:
        with file.open("r+b") as raw:
            raw.seek(4096)
            raw.write(b"\xff" * 4096 * 1000)
        with pytest.raises(StoreLost, match="damaged"):
            await store.load("claims")
        with pytest.raises(StoreLost, match=r"hub\.db is damaged"):
            await store.verify()
        with pytest.raises(StoreLost):
            await store.apply([put("a")])
    with pytest.raises(CannotOpenStore, match=r"it is damaged .* restore it from a backup"):
        await sqlite_store(file).__aenter__()


async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "hub.db") as store:
        await store.apply([put("a")])
        await store._run(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())  # noqa: SLF001 - SQLite's own way to have a small disk.
        with pytest.raises(StoreFailed, match="the disk of the hub's store is full"):
            await store.apply([put("b", b"x" * 1_000_000)])
        assert set(await store.load("claims")) == {"a"}


def test_which_stores_last() -> None:
    assert (MemoryStore.lasting, SqliteStore.lasting) == (False, True)

"""Copies of a store: made while a hub runs on it, checked, and put back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hub.service.ports import Change
from hub.store.backup import CannotCopy, backup, restore
from hub.store.sqlite import CannotOpenStore, SqliteStore
from tests.support.fakes import FakeEvents

if TYPE_CHECKING:
    from pathlib import Path

AT = "20260101T000000Z"


async def fill(path: Path, *values: bytes) -> None:
    async with SqliteStore(path, FakeEvents()) as store:
        await write(store, *values)


async def write(store: SqliteStore, *values: bytes) -> None:
    await store.apply([Change(kind="k", key=str(number), value=value) for number, value in enumerate(values)])


async def read(path: Path) -> dict[str, bytes]:
    async with SqliteStore(path, FakeEvents()) as store:
        return dict(await store.load("k"))


def leftovers(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if ".new" in file.name or "replaced" in file.name]


async def test_a_running_hubs_store_is_copied_with_what_was_written_last(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    async with SqliteStore(path, FakeEvents()) as store:
        await write(store, *[b"x" * 5000] * 2000)
        made = backup(path, copy)
        await write(store, b"later")
        assert (await store.load("k"))["0"] == b"later", "and the hub goes on"
    assert (made.records, made.path, made.size_bytes) == (2000, str(copy), copy.stat().st_size)
    assert (await read(copy))["0"] == b"x" * 5000
    assert copy.stat().st_mode == path.stat().st_mode


async def test_a_copy_is_one_file(tmp_path: Path) -> None:
    await fill(tmp_path / "hub.db", b"a")
    (tmp_path / "copies").mkdir()
    backup(tmp_path / "hub.db", tmp_path / "copies" / "copy.db")
    assert [file.name for file in (tmp_path / "copies").iterdir()] == ["copy.db"]


async def test_a_copy_that_exists_is_only_overwritten_by_force(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"a")
    copy.write_text("mine")
    with pytest.raises(CannotCopy, match="exists; choose another name, or overwrite it with --force"):
        backup(path, copy)
    assert copy.read_text() == "mine"
    backup(path, copy, force=True)
    assert await read(copy) == {"0": b"a"}


async def test_a_restored_store_has_what_the_copy_has_and_the_other_is_kept(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"good")
    backup(path, copy)
    await fill(path, b"bad")
    made = restore(copy, path, at=AT)
    assert made.replaced == str(tmp_path / f"hub.db.replaced-{AT}")
    assert await read(path) == {"0": b"good"}
    assert await read(tmp_path / f"hub.db.replaced-{AT}") == {"0": b"bad"}
    assert copy.exists()


async def test_a_store_that_crashed_is_kept_with_its_log(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"good")
    backup(path, copy)
    async with SqliteStore(path, FakeEvents()) as store:
        await write(store, b"only in the log")
        crashed = {name: (tmp_path / name).read_bytes() for name in ("hub.db", "hub.db-wal", "hub.db-shm")}
    for name, content in crashed.items():
        (tmp_path / name).write_bytes(content)
    made = restore(copy, path, at=AT)
    assert await read(path) == {"0": b"good"}, "the old log is not taken for that of the copy"
    assert await read(tmp_path / made.replaced) == {"0": b"only in the log"}


async def test_a_store_is_restored_where_there_is_none(tmp_path: Path) -> None:
    await fill(tmp_path / "hub.db", b"a")
    backup(tmp_path / "hub.db", tmp_path / "copy.db")
    made = restore(tmp_path / "copy.db", tmp_path / "new.db", at=AT)
    assert made.replaced == ""
    assert await read(tmp_path / "new.db") == {"0": b"a"}


async def test_the_log_of_a_store_that_was_deleted_is_not_taken_for_that_of_the_copy(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"good")
    backup(path, copy)
    async with SqliteStore(path, FakeEvents()) as store:
        await write(store, b"only in the log")
        log = (tmp_path / "hub.db-wal").read_bytes()
    path.unlink()
    (tmp_path / "hub.db-wal").write_bytes(log)
    restore(copy, path, at=AT)
    assert await read(path) == {"0": b"good"}
    assert (tmp_path / f"hub.db.replaced-{AT}-wal").read_bytes() == log


async def test_a_copy_that_is_in_use_is_not_overwritten(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"a")
    async with SqliteStore(copy, FakeEvents()) as other:
        await write(other, b"b")
        with pytest.raises(CannotCopy, match=r"copy\.db-wal exists: a program uses"):
            backup(path, copy, force=True)
    assert await read(copy) == {"0": b"b"}


async def test_a_restore_that_fails_halfway_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    await fill(path, b"mine")
    backup(path, copy)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fails)
    with pytest.raises(CannotCopy, match="No space left on device"):
        restore(copy, path, at=AT)
    monkeypatch.undo()
    assert await read(path) == {"0": b"mine"}
    assert leftovers(tmp_path) == []


async def test_a_store_that_a_hub_uses_is_not_replaced(tmp_path: Path) -> None:
    path, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    async with SqliteStore(path, FakeEvents()) as store:
        await write(store, b"a")
        backup(path, copy)
        with pytest.raises(CannotCopy, match=r"cannot restore .*: another hub uses it \(pid \d+ on "):
            restore(copy, path, at=AT)
        assert (await store.load("k")) == {"0": b"a"}


@pytest.mark.parametrize("wrong", ["nothing", "text", "another database", "a newer store", "damaged"])
async def test_what_is_no_sound_store_is_neither_copied_nor_restored(tmp_path: Path, wrong: str) -> None:
    path, copy, found = tmp_path / "hub.db", tmp_path / "copy.db", tmp_path / "found.db"
    await fill(path, b"mine")
    match wrong:
        case "text":
            found.write_text("not a database, but long enough to be read as the head of one" * 20)
        case "another database":
            with closing(sqlite3.connect(found)) as connection, connection:
                connection.execute("CREATE TABLE other (a)")
        case "a newer store":
            await fill(found, b"a")
            with closing(sqlite3.connect(found)) as connection, connection:
                connection.execute("PRAGMA user_version = 99")
        case "damaged":
            await fill(found, *[b"x" * 3000] * 50)
            content = bytearray(found.read_bytes())
            content[8192:16384] = b"\xff" * 8192
            found.write_bytes(content)
    with pytest.raises(CannotOpenStore):
        backup(found, copy)
    with pytest.raises(CannotOpenStore):
        restore(found, path, at=AT)
    assert not copy.exists()
    assert await read(path) == {"0": b"mine"}
    assert leftovers(tmp_path) == []


async def test_a_store_is_neither_its_own_copy_nor_its_own_backup(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    await fill(path, b"a")
    with pytest.raises(CannotCopy, match="is the store itself"):
        backup(path, path, force=True)
    with pytest.raises(CannotCopy, match="is the store itself"):
        restore(path, path, at=AT)
    assert await read(path) == {"0": b"a"}


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    await fill(tmp_path / "hub.db", b"a")
    with pytest.raises(CannotCopy, match=r"cannot write .*nowhere/copy\.db: No such file or directory"):
        backup(tmp_path / "hub.db", tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
async def test_what_is_written_has_reached_the_disk_as_the_docs_promise(
    tmp_path: Path, pragma: str, value: object
) -> None:
    async with SqliteStore(tmp_path / "hub.db", FakeEvents()) as store:
        (found,) = await store._run(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchone())  # noqa: SLF001 - nothing else shows it.
        assert found == value

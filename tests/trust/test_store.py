"""What has to last is written before an answer leaves: while the store fails, an answer that needs it is a 503."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.trust.stub import fails, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.trust.bench import Bench
    from tests.trust.stub import Answer
    from tests.trust.wire import Reply

TEN = named(*range(10))
FOUR = named(*range(4))


@contextmanager
def unwritable(bench: Bench) -> Iterator[None]:
    """Nothing can be written to the hub's store inside the block."""
    path = bench.site.folder / "hub.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON stored BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    try:
        yield
    finally:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TRIGGER full")


def reason(reply: object) -> tuple[int, str]:
    return reply.status, reply.reason  # type: ignore[attr-defined]  # a Reply; short for the tests below.


async def test_a_first_answer_that_cannot_be_written_does_not_leave(bench: Bench) -> None:
    await bench.open()
    with unwritable(bench):
        for _ in range(2):
            assert reason(await bench.ask(TEN)) == (503, "store_failed")
    assert (await bench.ask(TEN)).status == 200


async def test_a_changed_answer_that_cannot_be_written_does_not_leave_or_count(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    with unwritable(bench):
        assert reason(await bench.ask(named(*range(7)))) == (503, "store_failed")
    assert "6 of 10" in (await bench.ask(FOUR)).message


async def test_an_unchanged_answer_needs_no_store(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    with unwritable(bench):
        assert (await bench.ask(TEN)).status == 200


async def test_an_answer_that_would_be_held_is_an_error_too(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    with unwritable(bench):
        assert reason(await bench.ask(FOUR)) == (503, "store_failed")
    assert (await bench.ask(FOUR)).status == 409


async def test_a_decision_that_cannot_be_written_is_none(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    held_id = (await bench.ask(FOUR)).held_id
    with unwritable(bench):
        assert await site.decide("accept", held_id) == 503
        assert (await bench.ask(FOUR)).status == 409
    assert (await bench.ask(FOUR)).status == 409
    assert (await site.admin("GET", "/api/audit"))[1] == []


async def test_an_accepted_answer_passes_only_when_that_can_be_written(bench: Bench) -> None:
    site = await bench.open()
    await bench.ask(TEN)
    await site.decide("accept", (await bench.ask(FOUR)).held_id)
    with unwritable(bench):
        assert reason(await bench.ask(FOUR)) == (503, "store_failed")
    assert (await bench.ask(FOUR)).status == 200
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
async def test_a_last_good_answer_that_cannot_be_written_does_not_leave(bench: Bench, *, guarded: bool) -> None:
    mode = "enforce" if guarded else "off"
    await bench.open(route={"stale_if_error": {"max_age": "1h"}, "guard": {"mode": mode}})
    good = await bench.ask(TEN)
    with unwritable(bench):
        assert reason(await bench.ask(named(*range(12)))) == (503, "store_failed")
        assert (await bench.ask(fails(13))).body == good.body
    await bench.restart()
    assert (await bench.ask(fails(13))).body == good.body


async def test_an_answer_is_remembered_only_once_it_is_written(bench: Bench) -> None:
    await bench.open(route={"cache": {"fresh": "1h", "max": "1h"}})
    with unwritable(bench):
        await bench.ask(TEN)
    # Had it been cached, nobody would be asked for an hour.
    assert (await bench.ask(named(1))).names == ["1"]


async def test_a_store_that_cannot_be_read_gives_nothing(bench: Bench) -> None:
    await bench.open(route={"stale_if_error": {"max_age": "1h"}})
    await bench.ask(TEN)
    await bench.restart()
    with closing(sqlite3.connect(bench.site.folder / "hub.db")) as connection, connection:
        connection.execute("ALTER TABLE stored RENAME TO hidden")
    assert reason(await bench.ask(TEN)) == (503, "store_failed")
    assert (await bench.ask(fails(13))).status >= 500
    with closing(sqlite3.connect(bench.site.folder / "hub.db")) as connection, connection:
        connection.execute("ALTER TABLE hidden RENAME TO stored")
    assert (await bench.ask(TEN)).status == 200


def lose(bench: Bench) -> None:
    for ending in ("", "-wal", "-shm"):
        (bench.site.folder / f"hub.db{ending}").unlink(missing_ok=True)


async def test_a_lost_store_answers_nothing_until_an_operator_decides(bench: Bench) -> None:
    store = {"url": f"sqlite:{bench.site.folder / 'hub.db'}", "expect": "initialised"}
    site = await bench.open(store=store)
    assert reason(await bench.ask(TEN)) == (503, "store_uninitialised")
    assert (await site.admin("POST", "/api/store/init", {"by": "ada"}))[0] == 200
    assert (await bench.ask(TEN)).status == 200
    assert (await bench.ask(FOUR)).status == 409
    await site.stop()
    lose(bench)
    bench.backend.attached.clear()
    await site.start()
    await bench.backend.attached.wait()
    assert reason(await bench.ask(FOUR)) == (503, "store_uninitialised")
    assert (await site.admin("POST", "/api/store/init", {"by": "ada"}, token="wrong"))[0] == 403
    assert reason(await bench.ask(FOUR)) == (503, "store_uninitialised")
    assert (await site.admin("POST", "/api/store/init", {"by": "ada"}))[0] == 200
    assert (await bench.ask(FOUR)).status == 200


async def test_a_changed_answer_does_not_leave_once_the_file_is_gone(bench: Bench) -> None:
    await bench.open()
    await bench.ask(TEN)
    lose(bench)
    assert reason(await bench.ask(named(*range(11)))) == (503, "store_lost")


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Another program holds the lock that a write to the hub's store needs, as long as the block lasts."""
    with closing(sqlite3.connect(bench.site.folder / "hub.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def once_it_works(bench: Bench, answer: Answer, name: str = "r-one") -> Reply:
    """The first reply that is not about a slow store: what was waiting for it comes first."""
    while (reply := await bench.ask(answer, name)).status == 503 and reply.reason == "store_failed":
        pass
    return reply


IN_TIME = {"deadline": "1s"}  # SQLite waits for a lock much longer.
TOO_SLOW = "the hub's store did not answer in time"


async def test_a_store_that_is_too_slow_ends_no_request_later_than_its_deadline(bench: Bench) -> None:
    await bench.open(route=IN_TIME)
    with locked(bench):
        assert (await bench.ask(TEN)).message == TOO_SLOW
    assert (await once_it_works(bench, TEN)).status == 200


async def test_while_the_store_is_too_slow_no_shorter_answer_leaves_and_none_does_afterwards(bench: Bench) -> None:
    await bench.open(route=IN_TIME)
    await bench.ask(TEN)
    with locked(bench):
        for _ in range(2):
            assert (await bench.ask(FOUR)).message == TOO_SLOW
    assert (await once_it_works(bench, FOUR)).status == 409
    assert (await once_it_works(bench, TEN)).status == 200


async def test_whether_a_name_may_be_answered_is_found_out_before_the_deadline(bench: Bench) -> None:
    backends = {"b": {"application_sets": ["c-*"]}, "never": {"application_sets": ["c-*"]}}
    await bench.open(deadline="1s", backends=backends, claims=("c-*",))
    with locked(bench):
        assert (await bench.ask(TEN)).message == TOO_SLOW
        # Its read waits behind the write.
        assert (await bench.ask(TEN, "c-one")).message == TOO_SLOW
    assert (await once_it_works(bench, TEN, "c-one")).reason == "backend_never_seen"


async def test_a_last_good_answer_that_cannot_be_read_in_time_is_the_error_itself(bench: Bench) -> None:
    await bench.open(route={"stale_if_error": {"max_age": "1h"}, **IN_TIME})
    good = await bench.ask(TEN)
    await bench.restart()
    with locked(bench):
        assert (await bench.ask(named(*range(12)), "r-two")).message == TOO_SLOW
        failed = await bench.ask(fails(13))
        assert failed.status >= 500
        assert not failed.stale
    assert (await bench.ask(fails(13))).body == good.body

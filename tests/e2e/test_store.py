"""A new, lost or shared store is never silent, and drops no sets."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

TEN = [{"name": f"app-{number}"} for number in range(10)]
EXPECTING = {"url": "sqlite:hub.db", "expect": "initialised"}


def configure(rig: Rig, store: Any = "sqlite:hub.db") -> None:
    rig.configure(
        store=store,
        backends=[rig.backend("apps")],
        routes=[{"name": "apps", "application_sets": ["apps-*"], "backends": ["apps"], "unique_by": ["name"]}],
    )


def apps(rig: Rig, hub: Hub, *sets: dict[str, str]) -> Process:
    """A backend that answers with these sets."""
    file = {"application_sets": ["apps-1"], "answers": [{"parameters": list(sets)}]}
    running = rig.static("apps", file, "--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / "apps")
    running.says("attached to hub")
    return running


def lose(rig: Rig) -> None:
    for ending in ("", "-wal", "-shm"):
        (rig.folder / f"hub.db{ending}").unlink(missing_ok=True)


def admin(hub: Hub) -> tuple[str, str]:
    return "--admin", f"http://127.0.0.1:{hub.admin}"


def store_of(hub: Hub) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hub.get("/readyz").body)["store"]
    return found


def test_an_expected_store_that_is_lost_while_an_answer_is_held_answers_nothing_until_an_operator_decides(
    rig: Rig,
) -> None:
    configure(rig, EXPECTING)
    first = rig.command("store", "init", "--offline", "--config", rig.config, "--by", "ada")
    assert (first.code, "the first answer to each question is believed" in first.out) == (0, True)
    hub = rig.hub()
    hub.event("store_opened")
    whole = apps(rig, hub, *TEN)
    assert hub.ask("apps-1").sets == TEN
    whole.stop()
    apps(rig, hub, *TEN[:2])
    hub.ask("apps-1").refuses(409, "answer_held")
    assert hub.stop() == 0, hub.output
    lose(rig)
    again = rig.hub_again(hub)
    again.event("store_unusable", reason="store_uninitialised")
    again.joined("apps")
    again.ask("apps-1").refuses(503, "store_uninitialised", "appset-hub store init")
    assert (again.get("/livez").status, again.get("/readyz").status) == (200, 200)
    assert store_of(again)["state"] == "uninitialised"
    assert (
        again.metric("appset_hub_store_usable") == again.metric("appset_hub_store_initialised_timestamp_seconds") == 0
    )
    status = rig.command("store", "status", *admin(again))
    assert (status.code, "expects an initialised one" in status.out) == (1, True)
    # A restart in between, with the claims and sightings of a backend in the file, decides nothing.
    assert again.stop() == 0, again.output
    again = rig.hub_again(hub)
    again.joined("apps")
    again.ask("apps-1").refuses(503, "store_uninitialised")
    assert rig.command("store", "init", *admin(again), "--by", "ada").code == 0
    again.event("store_initialised", how="operator", who="ada")
    assert again.ask("apps-1").sets == TEN[:2]
    assert again.metric("appset_hub_store_usable") == 1
    assert rig.command("store", "status", *admin(again)).code == 0
    assert "nothing to do" in rig.command("store", "init", *admin(again)).out
    assert "started with an empty store" in rig.command("audit", *admin(again)).out


@pytest.mark.parametrize("kind", ["missing", "empty", "memory"])
def test_a_store_that_starts_empty_is_initialised_and_the_log_says_what_that_means(rig: Rig, kind: str) -> None:
    configure(rig, "memory:" if kind == "memory" else "sqlite:hub.db")
    if kind == "empty":
        (rig.folder / "hub.db").touch()
    hub = rig.hub()
    event = hub.event("store_initialised", how="empty")
    assert "the first answer to each question is believed" in event["hint"]
    assert ("baselines of earlier runs are lost" in event["hint"]) == (kind == "memory")
    assert store_of(hub)["lasting"] == (kind != "memory")
    assert (hub.metric("appset_hub_store_initialised_timestamp_seconds") or 0) > 1_700_000_000


def test_a_file_that_is_deleted_under_a_running_hub_ends_the_answers_and_a_restart_believes_nothing(rig: Rig) -> None:
    configure(rig, EXPECTING)
    rig.command("store", "init", "--offline", "--config", rig.config)
    hub = rig.hub()
    whole = apps(rig, hub, *TEN)
    assert hub.ask("apps-1").sets == TEN
    lose(rig)
    hub.event("store_unusable", reason="store_lost")
    hub.ask("apps-1").refuses(503, "store_lost", "hub.db was deleted")
    assert store_of(hub)["state"] == "lost"
    assert hub.metric("appset_hub_store_usable") == 0
    assert rig.command("store", "init", *admin(hub)).code != 0 or store_of(hub)["state"] == "lost"
    whole.stop()
    assert hub.stop() == 0, hub.output
    again = rig.hub_again(hub)
    apps(rig, again, *TEN[:2])
    again.ask("apps-1").refuses(503, "store_uninitialised")


def test_a_file_that_is_put_back_is_used_again(rig: Rig) -> None:
    configure(rig)
    hub = rig.hub()
    apps(rig, hub, *TEN)
    (rig.folder / "hub.db").rename(rig.folder / "aside")
    hub.event("store_unusable", reason="store_lost")
    hub.ask("apps-1").refuses(503, "store_lost")
    (rig.folder / "aside").rename(rig.folder / "hub.db")
    hub.event("store_usable")
    assert hub.ask("apps-1").sets == TEN


def test_a_second_hub_on_the_file_does_not_start_and_names_the_first(rig: Rig) -> None:
    configure(rig)
    hub = rig.hub()
    second = rig.command("serve", "--config", rig.config)
    assert second.code == 1
    assert f"another hub uses it (pid {hub.pid} on " in second.err
    assert "Traceback" not in second.err
    assert "another hub uses it" in rig.command("store", "init", "--offline", "--config", rig.config).err
    hub.kill()
    rig.hub()


@pytest.mark.parametrize(
    "content", [b"garbage " * 2000, b"SQLite format 3\0" + b"\xff" * 8000], ids=["garbage", "a damaged head"]
)
def test_a_file_that_is_no_store_is_named_and_left_as_it_is(rig: Rig, content: bytes) -> None:
    configure(rig)
    (rig.folder / "hub.db").write_bytes(content)
    found = rig.command("serve", "--config", rig.config)
    assert found.code == 1
    assert "hub.db as a store: it is damaged" in found.err
    assert "restore it from a backup" in found.err
    assert "Traceback" not in found.err
    assert (rig.folder / "hub.db").read_bytes() == content
    assert rig.command("store", "check", "--config", rig.config).code == 3


def damage(file: Path, kind: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute("UPDATE stored SET value = X'7B22' WHERE kind = ?", (kind,)).rowcount > 0


def test_a_damaged_record_stops_no_start_and_is_named_by_log_status_and_check(rig: Rig) -> None:
    configure(rig)
    hub = rig.hub()
    whole = apps(rig, hub, *TEN)
    assert hub.ask("apps-1").sets == TEN
    whole.stop()
    less = apps(rig, hub, *TEN[:2])
    hub.ask("apps-1").refuses(409, "answer_held")
    less.stop()
    assert hub.stop() == 0, hub.output
    sound = rig.command("store", "check", "--config", rig.config)
    assert (sound.code, "initialised" in sound.out, "0 damaged" in sound.out) == (0, True, True)
    damage(rig.folder / "hub.db", "held")
    again = rig.hub_again(hub)
    assert 'the record "held" of "apps-1/' in again.event("store_trouble")["detail"]
    apps(rig, again, *TEN[:2])
    again.ask("apps-1").refuses(503, "store_damaged", 'the record "held" of "apps-1/')
    checked = rig.command("store", "check", "--config", rig.config)
    assert (checked.code, 'the record "held" of "apps-1/' in checked.out) == (1, True)
    assert "Traceback" not in again.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(rig: Rig) -> None:
    configure(rig, "sqlite:sub/hub.db")
    (rig.folder / "sub").mkdir(mode=0o500)
    found = rig.command("serve", "--config", rig.config)
    assert (found.code, "sub/hub.db" in found.err) == (1, True)


def test_check_and_init_want_a_file(rig: Rig) -> None:
    configure(rig, "memory:")
    for command in (["check"], ["init", "--offline"]):
        found = rig.command("store", *command, "--config", rig.config)
        assert (found.code, "memory:, which has no file" in found.err) == (2, True)
    configure(rig)
    missing = rig.command("store", "check", "--config", rig.config)
    assert (missing.code, (rig.folder / "hub.db").exists()) == (3, False)


def test_a_lost_store_is_restored_from_a_backup_that_was_made_while_the_hub_ran(rig: Rig) -> None:
    configure(rig, EXPECTING)
    assert rig.command("store", "init", "--offline", "--config", rig.config, "--by", "ada").code == 0
    hub = rig.hub()
    whole = apps(rig, hub, *TEN)
    assert hub.ask("apps-1").sets == TEN
    copy = rig.folder / "copy.db"
    made = rig.command("store", "backup", copy, "--config", rig.config)
    assert (made.code, f"{copy}: " in made.out) == (0, True), made
    assert rig.command("store", "backup", copy, "--config", rig.config).code == 1
    in_use = rig.command("store", "restore", copy, "--config", rig.config)
    assert (in_use.code, "another hub uses it" in in_use.err) == (1, True)
    assert hub.stop() == 0, hub.output
    whole.stop()
    lose(rig)
    restored = rig.command("store", "restore", copy, "--config", rig.config)
    assert (restored.code, "restored" in restored.out) == (0, True), restored
    again = rig.hub_again(hub)
    apps(rig, again, *TEN[:2])
    # What was accepted before is known again, so what is missing is held.
    again.ask("apps-1").refuses(409, "answer_held")


def test_a_copy_that_is_no_store_replaces_nothing(rig: Rig) -> None:
    configure(rig)
    (rig.folder / "copy.db").write_text("mine")
    for command in ("backup", "restore"):
        done = rig.command("store", command, rig.folder / "copy.db", "--config", rig.config)
        assert done.code in (1, 3), done
    assert (rig.folder / "copy.db").read_text() == "mine"
    assert not (rig.folder / "hub.db").exists()

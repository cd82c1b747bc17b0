"""The reloader survives whatever happens to files, folders and this machine, and takes the next good configuration."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.load import Load
from tests.e2e.support.processes import COMMANDS, seconds_here, until
from tests.e2e.support.rig import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.support.rig import Rig

DRAIN = {"delay": "300ms", "timeout": "5s"}


def settings(rig: Rig, **more: Any) -> dict[str, Any]:
    return {
        "backends": [rig.backend("images", application_sets=["fb-*"])],
        "drain": DRAIN,
        "log": {"level": "debug"},
        **more,
    }


def started(rig: Rig, **more: Any) -> Hub:
    rig.configure(**settings(rig, **more))
    hub = rig.hub()
    rig.sdk("images", hub, "--application-sets", "fb-*")
    hub.joined("images")
    return hub


def rotates(rig: Rig, hub: Hub, text: str) -> None:
    """Check that a new token is taken and the one before is revoked."""
    mark = hub.mark()
    rig.token("argocd", text)
    hub.event("configuration_reloaded", after=mark)
    assert hub.ask("fb-1", token=text).sets == [{"from": "images"}]
    hub.ask("fb-1").refuses(403, "token_wrong")


def only_json(hub: Hub) -> None:
    """Check that nothing was written beside the log."""
    assert [line for line in hub.lines if not line.startswith("{")] == []


def drains(hub: Hub) -> None:
    """Check that SIGTERM lets a request that is in flight end, and that the hub goes on answering for the delay."""
    hub.signal(signal.SIGTERM)
    hub.event("hub_stopping", signal="SIGTERM")
    assert hub.get("/readyz").status == 503
    assert hub.wait() == 0, hub.output
    only_json(hub)


def as_text(text: str) -> Callable[[Rig], None]:
    return lambda rig: rig.write(text)


def as_folder(rig: Rig) -> None:
    rig.config.unlink()
    rig.config.mkdir()


def as_pipe(rig: Rig) -> None:
    rig.config.unlink()
    os.mkfifo(rig.config)


def as_circle(rig: Rig) -> None:
    rig.config.unlink()
    rig.config.symlink_to(rig.config.name)


BAD = {
    "a number that is none": as_text("deadline: !!int zz\n"),
    "a number of 5,000 digits": as_text("limits: {max_sets: " + "9" * 5000 + "}\n"),
    "twenty thousand brackets": as_text("[" * 20_000),
    "a path with a NUL": as_text('clients: [{name: a, tokens: [{file: "a\\0b"}]}]\n'),
    "a hundred thousand values": as_text("a: [" + "1," * 100_000 + "]\n"),
    "too many aliases": as_text("a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(3)) + "c: *d\n"),
    "more than 4 MiB": as_text("#" * (4 * 1024 * 1024 + 1)),
    "a folder": as_folder,
    "a pipe": as_pipe,
    "a link to itself": as_circle,
    "nothing": lambda rig: rig.config.unlink(),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
def test_whatever_is_in_the_place_of_the_file_the_next_good_one_is_taken(
    rig: Rig, spoil: Callable[[Rig], None]
) -> None:
    hub = started(rig)
    spoil(rig)
    hub.event("configuration_kept", level="error")
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 0
    if rig.config.is_dir():
        rig.config.rmdir()
    mark = hub.mark()
    rig.configure(**settings(rig))
    hub.event("configuration_reloaded", after=mark)
    assert hub.metric("appset_hub_configuration_last_reload_successful") == 1
    rotates(rig, hub, "rotated")
    assert hub.events("task_failed") == hub.events("internal_fault") == []
    drains(hub)


def test_without_file_descriptors_the_hub_goes_on_and_catches_up_when_it_has_some(rig: Rig) -> None:
    hub = started(rig)
    with Load(hub, "fb-1") as load:
        used = len(list(Path(f"/proc/{hub.pid}/fd").iterdir()))
        resource.prlimit(hub.pid, resource.RLIMIT_NOFILE, (used, 4096))
        mark = hub.mark()
        rig.configure(**settings(rig, deadline="7s"))
        kept = hub.event("configuration_kept", after=mark)
        assert "Too many open files" in kept["problem"]
        load.flows(20)
        resource.prlimit(hub.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        hub.event("configuration_reloaded", after=mark)
    assert load.troubles == []
    assert {reply.status for reply in load.replies} == {200}
    rotates(rig, hub, "rotated")
    drains(hub)


def test_without_inotify_files_are_looked_at_and_the_hub_says_so(rig: Rig) -> None:
    rig.configure(**settings(rig))
    # A namespace of its own, because the limit counts for all processes of a user.
    script = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    shell = ("unshare", "-Ur", "sh", "-c", script, "sh")
    if subprocess.run([*shell, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no user namespaces")
    hub = Hub(*shell, COMMANDS / "appset-hub", "serve", "--config", rig.config, cwd=rig.folder)
    with hub:
        hub.started()
        rig.sdk("images", hub, "--application-sets", "fb-*")
        hub.joined("images")
        failed = hub.event("task_failed", task="file_watch", level="error")
        assert "Too many open files" in failed["traceback"]
        assert hub.get("/readyz").json["failing_tasks"] == ["file_watch"]
        assert hub.get("/readyz").status == 200
        assert (hub.metric("appset_hub_task_failures_total", task="file_watch") or 0) >= 1
        rotates(rig, hub, "rotated")
        drains(hub)


def test_a_folder_that_goes_away_and_comes_back_is_watched_again(rig: Rig) -> None:
    hub = started(rig)
    away = rig.folder.with_name("away")
    rig.folder.rename(away)
    hub.event("configuration_kept")
    rig.folder.mkdir()
    for entry in away.iterdir():
        entry.rename(rig.folder / entry.name)
    hub.event("configuration_reloaded")
    rotates(rig, hub, "rotated")
    assert hub.events("internal_fault") == []
    drains(hub)


def test_a_link_that_is_swapped_as_kubernetes_does_is_followed_also_after_it_was_gone(rig: Rig) -> None:
    hub = started(rig)
    for version, text in (("one", "argocd-token"), ("two", "second-token")):
        folder = rig.folder / version
        folder.mkdir()
        (folder / "argocd").write_text(text)
    link = rig.folder / "data"
    link.symlink_to("one")
    mark = hub.mark()
    rig.configure(**settings(rig, clients=[{"name": "argocd", "tokens": [{"file": "data/argocd"}]}]))
    hub.event("configuration_reloaded", after=mark)
    mark = hub.mark()
    link.unlink()
    hub.event("configuration_kept", after=mark)
    assert hub.ask("fb-1").status == 200
    link.symlink_to("two")
    hub.event("configuration_reloaded", after=mark)
    assert hub.ask("fb-1", token="second-token").status == 200
    hub.ask("fb-1").refuses(403, "token_wrong")


def test_a_file_that_the_configuration_names_before_it_is_there_is_waited_for(rig: Rig) -> None:
    hub = started(rig)
    clients = [{"name": "argocd", "tokens": [{"file": "tokens/later"}]}]
    rig.configure(**settings(rig, clients=clients))
    hub.event("configuration_kept")
    rig.token("later", "later-token")
    hub.event("configuration_reloaded")
    assert hub.ask("fb-1", token="later-token").status == 200


def large(rig: Rig) -> dict[str, Any]:
    """About 2.6 MB: ten thousand routes."""
    routes = [
        {
            "name": f"route-{n}",
            "application_sets": [f"application-set-{n}-*"],
            "backends": ["images"],
            "required_keys": ["cluster", "namespace", "branch"],
            "parameters": {"environment": "prod-*"},
        }
        for n in range(10_300)
    ]
    return settings(rig, routes=routes)


def test_a_large_file_does_not_stop_the_hub(rig: Rig) -> None:
    hub = started(rig)
    mark = hub.mark()
    rig.configure(**large(rig))
    size = rig.config.stat().st_size
    assert size > 2_500_000, size
    waits_s: list[float] = []
    until_s = time.monotonic() + 60
    while not any('"configuration_reloaded"' in line for line in hub.lines[mark:]):
        assert time.monotonic() < until_s, hub.output[-2000:]
        began_s = time.monotonic()
        assert hub.ask("fb-1").status == 200
        waits_s.append(time.monotonic() - began_s)
    assert len(waits_s) > 20
    assert max(waits_s) < seconds_here(0.3), f"{len(waits_s)} requests, {max(waits_s):.3f} s"
    drains(hub)


def reader_of(hub: Hub) -> int:
    """Wait for the process that reads the configuration."""
    found: list[str] = []

    def is_there() -> bool:
        # Below the thread that started it.
        found[:] = " ".join(one.read_text() for one in Path(f"/proc/{hub.pid}/task").glob("*/children")).split()
        return bool(found)

    until(is_there, "a process reads the configuration")
    return int(found[0])


def test_a_reading_process_that_is_killed_is_reported_and_another_one_started(rig: Rig) -> None:
    hub = started(rig)
    rig.configure(**large(rig))
    os.kill(reader_of(hub), signal.SIGKILL)
    assert "signal 9" in hub.event("configuration_kept")["problem"]
    assert hub.ask("fb-1").status == 200
    rig.configure(**settings(rig))
    hub.event("configuration_reloaded")


def test_sigterm_during_a_reload_drains_and_leaves_no_process_behind(rig: Rig) -> None:
    hub = started(rig)
    rig.configure(**large(rig))
    reader = reader_of(hub)
    drains(hub)
    until(lambda: not Path(f"/proc/{reader}").exists(), "the reading process has ended")
    assert hub.events("internal_fault") == []

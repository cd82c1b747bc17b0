"""What the hub notices of its own trouble: files that cannot be read, a store that is gone."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from scenarios_guard import opened, services
from stage import STORE

if TYPE_CHECKING:
    from scenarios_guard import Play
    from stage import Stage

_RELOADED_WITHIN_S = 15
_NOBODY = 404


def _after_a_bad_file(stage: Stage, *, bad: str) -> str:
    """A configuration that cannot be read, and then a good one with another route."""
    backend = opened(stage, route={"application_sets": ["old-*"]})
    backend.says(services(1))
    path = stage.folder / "hub.yaml"
    good = path.read_text()
    path.write_text(bad)
    time.sleep(2)
    path.write_text(good.replace("old-*", "new-*"))
    started_s = time.monotonic()
    while time.monotonic() - started_s < _RELOADED_WITHIN_S:
        if stage.ask("new-1").count:
            return f"reloaded after {time.monotonic() - started_s:.1f} s"
        time.sleep(0.2)
    return f"not reloaded within {_RELOADED_WITHIN_S} s"


def _new_store(stage: Stage) -> str:
    """20 sets; the store's file gets lost; after a restart there are 3. As in the production manifests."""
    backend = stage.backend("images")
    backend.says(services(20))
    how: dict[str, Any] = {
        "backends": [{"name": "images", "tokens": [{"file": "images.token"}]}],
        "routes": [{"name": "all", "application_sets": ["*"], "backends": ["images"], "unique_by": ["name"]}],
    }
    stage.configure(**how, store={"url": STORE, "expect": "initialised"})
    expects = stage.knows()
    if not expects:
        stage.configure(**how)
    stage.start()
    if expects:
        stage.init_store()
    backend.start()
    stage.wait_for_backends()
    first = stage.ask("previews")
    stage.stop()
    _lose_file(stage)
    backend.says(services(3))
    stage.start()
    stage.wait_for_backends()
    return f"{first}, then {stage.ask('previews')}"


def _lose_file(stage: Stage) -> None:
    for path in stage.folder.glob("hub.db*"):
        path.unlink()


def _lost_store(stage: Stage) -> str:
    backend = opened(stage, route={"unique_by": ["name"]})
    backend.says(services(20))
    stage.ask("previews")
    _lose_file(stage)
    time.sleep(2)
    backend.says(services(19))
    return str(stage.ask("previews"))


def _first_start(stage: Stage) -> str:
    """Two backends may claim a name; only one has ever connected."""
    first = stage.backend("first")
    first.says(services(1))
    stage.backend("second")
    stage.configure(
        backends=[
            {"name": name, "tokens": [{"file": f"{name}.token"}], "application_sets": ["*"]}
            for name in ("first", "second")
        ]
    )
    stage.start()
    first.command = (*first.command, "--claim", "*")
    first.start()
    stage.fleet.wait("the first is there", lambda: stage.ask("previews").status != _NOBODY)
    return str(stage.ask("previews"))


SCENARIOS: dict[str, Play] = {
    **{
        f"a good file after {name}": functools.partial(_after_a_bad_file, bad=bad)
        for name, bad in {
            '"deadline: !!int zz"': "deadline: !!int zz\n",
            "a number of 5,000 digits": f"deadline: {'9' * 5000}\n",
            "20,000 brackets": "[" * 20_000,
            "a NUL in a path": 'clients: [{name: a, tokens: [{file: "a\\0b"}]}]\n',
        }.items()
    },
    "20 sets; the store's file deleted, restart, 3 sets": _new_store,
    "the store's file deleted under a running hub": _lost_store,
    "first start, one of two claimers has connected": _first_start,
}

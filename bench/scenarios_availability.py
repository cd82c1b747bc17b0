"""What one backend that fails does to questions, and for how long."""

from __future__ import annotations

import functools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hub_site import SERVED
from processes import free_port
from scenarios_guard import opened, services
from stage import OK, post

if TYPE_CHECKING:
    from scenarios_guard import Play
    from stage import Stage

_NEIGHBOURS = 40
_STUCK = 256
_LONGEST_S = 100
_TOO_LARGE_BYTES = 18 * 1024 * 1024
_BUSY_AT = 64


def _oversized(stage: Stage) -> str:
    """An answer of 18 MiB from a client that ignores the limit, while small ones are asked for on the same stream."""
    backend = stage.backend("images")
    journal = backend.script.with_suffix(".journal")
    stage.configure(
        backends=[{"name": "images", "tokens": [{"file": "images.token"}]}],
        routes=[{"name": "all", "application_sets": ["*"], "backends": ["images"]}],
    )
    stage.start()
    backend.command = (
        *(stage.python, SERVED / "heedless.py", "images", "--hub", f"127.0.0.1:{stage.grpc}"),
        *("--token-file", stage.folder / "images.token", "--journal", journal, "--bytes", str(_TOO_LARGE_BYTES)),
    )
    backend.start()
    stage.wait_for_backends()
    with ThreadPoolExecutor(_NEIGHBOURS) as pool:
        large = pool.submit(stage.ask, "large")
        small = []
        for number in range(_NEIGHBOURS):
            small.append(pool.submit(stage.ask, f"small-{number}"))
            time.sleep(0.02)
        failed = sum(one.result().status != OK for one in small)
        reply = large.result()
    calls = sum(line.startswith("large ") for line in journal.read_text().splitlines())
    return f"{reply}, asked {calls} times; {failed} of {_NEIGHBOURS} neighbours failed"


def _frozen(stage: Stage, *, dialled: bool) -> str:
    """How long the hub takes to see that a process does not run any more, with a question every half second."""
    port = free_port() if dialled else 0
    backend = stage.backend("images", dialled_at=port)
    backend.says(services(1))
    how: dict[str, Any] = {"address": f"127.0.0.1:{port}"} if dialled else {"tokens": [{"file": "images.token"}]}
    stage.configure(
        backends=[{"name": "images", **how}],
        routes=[{"name": "all", "application_sets": ["*"], "backends": ["images"], "deadline": "5s"}],
    )
    stage.start()
    backend.start()
    stage.wait_for_backends()
    stage.ask("previews")
    backend.signal(signal.SIGSTOP)
    stop = threading.Event()
    asking = threading.Thread(target=_keep_asking, args=(stage.http, stop))
    asking.start()
    try:
        taken_s = stage.seconds_until_absent(_LONGEST_S)
    finally:
        stop.set()
        backend.signal(signal.SIGCONT)
        asking.join()
    return f"not within {_LONGEST_S} s" if taken_s is None else f"after {taken_s:.1f} s"


def _keep_asking(port: int, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        post(port, "previews")


def _restarted(stage: Stage) -> str:
    """A single instance is killed in the middle of a question, and started again at once."""
    backend = opened(stage)
    backend.says(services(3), sleep_s=1.5)
    replies: list[Any] = []
    asking = threading.Thread(target=lambda: replies.append(stage.ask("previews")))
    asking.start()
    time.sleep(0.7)
    backend.kill()
    backend.start()
    asking.join()
    return f"{replies[0]} after {replies[0].took_s:.1f} s"


def _stuck(stage: Stage) -> str:
    """One route hangs; another one of the same client is asked."""
    stuck, healthy = stage.backend("stuck"), stage.backend("healthy")
    stuck.says(services(1), sleep_s=8)
    healthy.says(services(1))
    names = ("stuck", "healthy")
    stage.configure(
        backends=[{"name": name, "tokens": [{"file": f"{name}.token"}]} for name in names],
        routes=[{"name": name, "application_sets": [f"{name}-*"], "backends": [name]} for name in names],
    )
    stage.start()
    stuck.start()
    healthy.start()
    stage.wait_for_backends()
    with ThreadPoolExecutor(_STUCK) as pool:
        hanging = [pool.submit(post, stage.http, f"stuck-{number}") for number in range(_STUCK)]
        time.sleep(3)
        reply = stage.ask("healthy-1")
        for one in hanging:
            one.result()
    return str(reply)


SCENARIOS: dict[str, Play] = {
    "an answer of 18 MiB on a stream": _oversized,
    "an attached backend freezes: noticed": functools.partial(_frozen, dialled=False),
    "a dialled backend freezes: noticed": functools.partial(_frozen, dialled=True),
    "a single instance restarts during a question": _restarted,
    f"{_STUCK} questions hang on one route; its neighbour": _stuck,
}

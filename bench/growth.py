"""How the hub's cost grows with what it holds, and what it costs to start and to idle."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.error import URLError

import hub_site
from hub_site import Plan
from load import Load, press
from measure import resident_kib, running_s
from processes import Failed, Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INSTANCES = 1000
_APPLICATION_SETS = 5000
_SETS_EACH = 50
_IDLE_S = 5.0
_STARTS = 5
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One figure, with the most that it may be if there is a goal."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether it is good enough; ``None`` without a goal."""
        return None if self.at_most is None else self.value <= self.at_most


def measure_all(*, quick: bool) -> Iterator[Growth]:
    """All figures, one part after the other."""
    parts: list[Callable[[Fleet, int], Iterator[Growth]]] = [_starting, _idle, _instances, _application_sets]
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="appset-hub-bench-") as folder, Fleet(Path(folder)) as fleet:
            yield from part(fleet, 10 if quick else 1)


def _starting(fleet: Fleet, less: int) -> Iterator[Growth]:
    taken_s = []
    for number in range(max(1, _STARTS // less)):
        started_s = time.perf_counter()
        site = _ready_hub(fleet, f"hub {number}")
        taken_s.append(time.perf_counter() - started_s)
        fleet.end(site.pid)
    yield Growth(name="start to ready", value=median(taken_s), unit="s", at_most=1.0)
    for count in (1_000, 10_000):
        started_s = time.perf_counter()
        site = _ready_hub(fleet, f"hub with {count} routes", routes=count // less)
        taken = time.perf_counter() - started_s
        fleet.end(site.pid)
        yield Growth(name=f"start to ready with {count // less:,} routes", value=taken, unit="s")


def _ready_hub(fleet: Fleet, name: str, routes: int = 0) -> hub_site.HubSite:
    """A hub without backends, as soon as it says that it is ready."""
    site = hub_site.start_hub(fleet, name, Plan(backend=False, routes=routes))
    fleet.wait(f"{name} is ready", lambda: _is_ready(site))
    return site


def _is_ready(site: hub_site.HubSite) -> bool:
    try:
        return '"ready":true' in site.admin_get("/readyz")
    except URLError:
        return False


def _idle(fleet: Fleet, less: int) -> Iterator[Growth]:
    site = hub_site.start_hub(fleet, "hub", Plan())
    time.sleep(_SETTLE_S)
    yield Growth(name="idle memory", value=resident_kib(site.pid) / 1024, unit="MiB", at_most=80)
    yield _idling("idle processor time", site, less)


def _idling(name: str, site: hub_site.HubSite, less: int) -> Growth:
    before_s = running_s(site.pid)
    time.sleep(_IDLE_S / less)
    used_s = running_s(site.pid) - before_s
    return Growth(name=name, value=used_s / (_IDLE_S / less) * 100, unit="% of a core")


def _instances(fleet: Fleet, less: int) -> Iterator[Growth]:
    count = _INSTANCES // less - 1
    # One is there before, so that what all of them share is not charged to the others.
    site = hub_site.start_hub(fleet, "hub", Plan(kind="ready"))
    time.sleep(_SETTLE_S)
    before_kib = resident_kib(site.pid)
    command = (
        *(hub_site.PYTHON, hub_site.SERVED / "instances.py", "--count", str(count)),
        *("--hub", f"127.0.0.1:{site.grpc}", "--name", "m1", "--token-file", site.tokens / "m1"),
    )
    fleet.start("instances", command)
    fleet.wait("all instances are attached", lambda: "attached" in fleet.log("instances").read_text(), limit_s=60)
    time.sleep(_SETTLE_S)
    each_kib = (resident_kib(site.pid) - before_kib) / count
    yield Growth(name=f"{count + 1:,} attached instances, each", value=each_kib, unit="KiB", at_most=60)
    yield _idling(f"idle processor time with {count + 1:,} instances", site, less)


def _application_sets(fleet: Fleet, less: int) -> Iterator[Growth]:
    count = _APPLICATION_SETS // less
    site = hub_site.start_hub(fleet, "hub", Plan())
    warm = Load(sets=_SETS_EACH, connections=8, questions=10, own=True)
    press(site.endpoint(), warm, 1)
    before_kib = resident_kib(site.pid)
    load = Load(sets=_SETS_EACH, connections=8, questions=count, own=True)
    kept = 0
    # Each time from the first one on, so each time longer: a slow machine gets no further in a short one.
    for seconds in (5 // less + 1, 10, 20, 40):
        press(site.endpoint(), load, seconds)
        kept = _remembered(site, "appset_hub_remembered_answers")
        if kept >= count:
            break
    else:
        raise Failed(f"the hub keeps {kept} answers, {count} were asked for")
    each_kib = (resident_kib(site.pid) - before_kib) / count
    of_them = _remembered(site, "appset_hub_remembered_answers_bytes") / kept / 1024
    yield Growth(name=f"{count:,} ApplicationSets of {_SETS_EACH} sets, each", value=each_kib, unit="KiB")
    yield Growth(name="of which by the hub's own count", value=of_them, unit="KiB")


def _remembered(site: hub_site.HubSite, metric: str) -> int:
    for line in site.admin_get("/metrics").splitlines():
        if line.startswith(f"{metric} "):
            return int(float(line.split()[1]))
    return 0

"""A hub with its backends, as the benchmark needs it: every feature on, and a configuration like an operator's."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError

from load import TOKEN, Endpoint
from processes import HERE, Fleet, free_port, listens

Kind = Literal["sdk", "sdk-digest", "ready", "ready-digest"]

PYTHON = Path(sys.executable)

NEIGHBOUR_TOKEN = "token-of-the-neighbour"

SERVED = HERE / "served"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSite:
    """A hub that runs; ``backend`` is the process behind it, 0 for none."""

    pid: int
    backend: int
    http: int
    grpc: int
    admin: int
    tokens: Path

    def endpoint(self, name: str = "bench") -> Endpoint:
        """Where Argo CD would ask."""
        return Endpoint(port=self.http, name=name)

    def admin_get(self, path: str) -> str:
        """What the admin port says."""
        return get(self.admin, path)


def get(port: int, path: str) -> str:
    """The body of a page of this machine, also of one that says that the hub is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return str(response.read().decode())
    except HTTPError as error:
        with error:
            return str(error.read().decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which hub: what its backends are, how they come to it, how many members and other routes there are.

    ``python`` is that of the environment that the hub and its backends are installed in.
    """

    python: Path = PYTHON
    kind: Kind = "sdk"
    dialled: bool = False
    members: int = 1
    routes: int = 0
    backend: bool = True


def _routes(count: int) -> list[dict[str, Any]]:
    """So many routes to one backend; the name of the last one is the worst: all others stand before it."""
    return [
        {"name": f"route-{index}", "application_sets": [f"team-{index}-*"], "backends": ["m1"]}
        for index in range(count)
    ]


def start_hub(fleet: Fleet, name: str, plan: Plan) -> HubSite:
    """Start a hub and its backends, and wait until they are there."""
    folder = fleet.folder / name
    names = [f"m{number}" for number in range(1, plan.members + 1)]
    http, grpc, admin, listen = (free_port() for _ in range(4))
    configuration = {
        "listen": {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}", "admin": f"127.0.0.1:{admin}"},
        "store": "sqlite:./hub.db",
        "clients": [
            {"name": "argocd", "tokens": [{"file": "argocd.token"}]},
            {"name": "neighbour", "tokens": [{"file": "neighbour.token"}]},
        ],
        "backends": [
            {"name": one, **({"address": f"127.0.0.1:{listen}"} if plan.dialled else {"tokens": [{"file": one}]})}
            for one in names
        ],
        "routes": [*_routes(plan.routes), {"name": "all", "application_sets": ["bench-*"], "backends": names}],
    }
    _write(folder, configuration, names)
    pid = fleet.start(name, (plan.python.with_name("appset-hub"), "serve", "--config", folder / "hub.yaml"))
    fleet.wait(f"{name} listens", lambda: listens(admin) and listens(grpc))
    backend = 0
    if plan.backend:
        where = ("--listen", f"127.0.0.1:{listen}") if plan.dialled else ("--hub", f"127.0.0.1:{grpc}")
        options = ("--kind", plan.kind, "--tokens", folder, *where)
        backend = fleet.start(f"{name} backend", (plan.python, SERVED / "hub_backend.py", *names, *options))
    site = HubSite(pid=pid, backend=backend, http=http, grpc=grpc, admin=admin, tokens=folder)
    if backend:
        fleet.wait(f"{name} has its backends", lambda: not json.loads(site.admin_get("/readyz"))["absent_backends"])
    return site


def _write(folder: Path, configuration: dict[str, Any], names: list[str]) -> None:
    folder.mkdir()
    (folder / "argocd.token").write_text(TOKEN)
    (folder / "neighbour.token").write_text(NEIGHBOUR_TOKEN)
    for one in names:
        (folder / one).write_text(f"token-of-{one}")
    # JSON is YAML.
    (folder / "hub.yaml").write_text(json.dumps(configuration))

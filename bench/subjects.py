"""All that can be measured, by name: hubs of several kinds, and the peers, each started with what it needs."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, replace
from string import Template
from typing import TYPE_CHECKING, Protocol

import hub_site
from hub_site import Plan
from load import TOKEN, Endpoint, Load, press
from measure import cpu_s, forget_peak, peak_kib
from processes import HERE, Failed, Fleet, environment, free_port, listens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from needs import Needs

_BARE_GRACE_S = 40
_EXAMPLE_QUEUE = 4
_ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement. ``front`` is the hub or proxy, ``back`` the backend behind it; 0 where there is none."""

    requests_s: float
    p50_us: float
    p99_us: float
    front_cpu_us: float
    back_cpu_us: float
    front_peak_kib: int
    back_peak_kib: int


class Subject(Protocol):
    """Something to be measured."""

    def check(self, load: Load) -> None:
        """Ask once, and see that the answer is the right one."""
        ...

    def measure(self, load: Load, seconds: int) -> Sample:
        """Put load on it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSubject:
    """A server, by the ids of its processes. A constant one always answers the same two sets."""

    name: str
    endpoint: Endpoint
    front: int
    back: int = 0
    members: int = 1
    closes: bool = False
    """It closes each connection without saying how long the answer is, which wrk counts as a broken one."""
    most_connections: int | None = None
    """It stands still for a second at a time with more than these, so it is measured with so many at most."""

    def check(self, load: Load) -> None:
        """Ask once, and count the sets."""
        question = {
            "applicationSetName": f"{self.endpoint.name}-0",
            "input": {"parameters": {**load.parameters, "n": "0000000000"}},
        }
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.endpoint.url, json.dumps(question).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                sets = json.loads(response.read())["output"]["parameters"]
        except (OSError, ValueError, LookupError) as error:
            raise Failed(f"{self.name} does not answer as it should: {error}") from error
        if len(sets) != load.sets * self.members:
            raise Failed(f"{self.name} answered with {len(sets)} sets instead of {load.sets * self.members}")

    def measure(self, load: Load, seconds: int) -> Sample:
        """Put load on it, and read what it cost."""
        forget_peak(self.front)
        front_s, back_s = self._cpu_s()
        figures = press(self.endpoint, self._bearable(load), seconds)
        front_after_s, back_after_s = self._cpu_s()
        if figures.refused or (figures.failed and not self.closes) or not figures.requests:
            raise Failed(
                f"{self.name}: of {figures.requests} requests {figures.refused} were refused, {figures.failed} failed"
            )
        return Sample(
            requests_s=figures.requests / figures.seconds,
            p50_us=figures.p50_us,
            p99_us=figures.p99_us,
            front_cpu_us=(front_after_s - front_s) / figures.requests * 1e6,
            back_cpu_us=(back_after_s - back_s) / figures.requests * 1e6,
            front_peak_kib=peak_kib(self.front),
            back_peak_kib=peak_kib(self.back) if self.back else 0,
        )

    def _bearable(self, load: Load) -> Load:
        if self.most_connections is None or load.connections <= self.most_connections:
            return load
        return replace(load, connections=self.most_connections)

    def _cpu_s(self) -> tuple[float, float]:
        return cpu_s(self.front), cpu_s(self.back) if self.back else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BareStream:
    """A stream without a hub; it measures itself, because no HTTP leads there."""

    tokens: Path

    def check(self, load: Load) -> None:
        """Nothing: it counts right answers only."""

    def measure(self, load: Load, seconds: int) -> Sample:
        """Run it once."""
        command = [
            *(sys.executable, str(HERE / "served" / "bare_stream.py"), "--tokens", str(self.tokens)),
            *("--in-flight", str(load.connections), "--seconds", str(seconds), "--sets", str(load.sets)),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), timeout=seconds + _BARE_GRACE_S, check=False
        )
        if done.returncode:
            raise Failed(f"bare stream: {done.stderr.strip()[-500:]}")
        figures = json.loads(done.stdout)
        requests, elapsed_s = figures.pop("requests"), figures.pop("seconds")
        return Sample(requests_s=requests / elapsed_s, **figures)


def _hub(fleet: Fleet, _: Needs, *, name: str, kind: hub_site.Kind = "sdk", dialled: bool = False) -> Subject:
    return hub(fleet, name, Plan(kind=kind, dialled=dialled))


def hub(fleet: Fleet, name: str, plan: Plan) -> HttpSubject:
    """A hub with one backend."""
    site = hub_site.start_hub(fleet, name, plan)
    return HttpSubject(name=name, endpoint=site.endpoint(), front=site.pid, back=site.backend)


def _members(fleet: Fleet, _: Needs, *, name: str, count: int) -> Subject:
    site = hub_site.start_hub(fleet, name, Plan(members=count))
    return HttpSubject(name=name, endpoint=site.endpoint(), front=site.pid, back=site.backend, members=count)


def _routes(fleet: Fleet, _: Needs, *, name: str, count: int) -> Subject:
    site = hub_site.start_hub(fleet, name, Plan(routes=count))
    endpoint = site.endpoint(f"team-{count - 1}")
    return HttpSubject(name=name, endpoint=endpoint, front=site.pid, back=site.backend)


def _envoy(fleet: Fleet, needs: Needs) -> Subject:
    descriptor = fleet.folder / "plugin.binpb"
    # What is compiled is this folder's; the tool comes with the development environment.
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={HERE / 'peers'}", "--include_imports"),
            *(f"--descriptor_set_out={descriptor}", "plugin.proto"),
        ],
        check=True,
    )
    port, behind = free_port(), free_port()
    configuration = _filled("envoy.yaml", fleet.folder, port=port, backend=behind, descriptor=descriptor, token=TOKEN)
    program = HERE / "served" / "transcoded.py"
    back = fleet.start("envoy backend", (sys.executable, program, "--port", str(behind), "--descriptor", descriptor))
    # Its own id keeps it apart from any other Envoy's shared memory.
    front = fleet.start(
        "envoy",
        (needs.envoy or "envoy", "--config-path", configuration, "--base-id", str(port), "--log-level", "error"),
    )
    fleet.wait("envoy and its backend listen", lambda: listens(port) and listens(behind))
    endpoint = Endpoint(port=port, path="/bench.v1.PluginService/GetParams")
    return HttpSubject(name="envoy", endpoint=endpoint, front=front, back=back)


def _nginx(fleet: Fleet, needs: Needs) -> Subject:
    port, behind = free_port(), free_port()
    user = "user root;" if os.geteuid() == _ROOT else ""
    configuration = _filled("nginx.conf", fleet.folder, port=port, backend=behind, folder=fleet.folder, user=user)
    back = fleet.start("nginx backend", _http_plugin(behind, "--token", TOKEN))
    front = fleet.start("nginx", (needs.nginx or "nginx", "-e", "stderr", "-c", configuration))
    fleet.wait("nginx and its plugin listen", lambda: listens(port) and listens(behind))
    return HttpSubject(name="nginx", endpoint=Endpoint(port=port), front=front, back=back)


def _constant(fleet: Fleet, _: Needs) -> Subject:
    port = free_port()
    front = fleet.start("bare aiohttp", _http_plugin(port))
    fleet.wait("the bare handler listens", lambda: listens(port))
    return HttpSubject(name="bare aiohttp", endpoint=Endpoint(port=port), front=front)


def _http_plugin(port: int, *options: str) -> tuple[str | Path, ...]:
    return (sys.executable, HERE / "served" / "http_plugin.py", "--port", str(port), *options)


def _example(fleet: Fleet, needs: Needs) -> Subject:
    port = free_port()
    token_file = fleet.folder / "example.token"
    token_file.write_text(TOKEN)
    program = HERE / "served" / "example_plugin.py"
    options = ("--page", needs.example_page or "", "--port", str(port), "--token-file", token_file)
    front = fleet.start("example plugin", (sys.executable, program, *options))
    fleet.wait("the example plugin listens", lambda: listens(port))
    # Its server queues five connections; of more that come at once some are lost, and tried again after a second.
    return HttpSubject(
        name="example plugin", endpoint=Endpoint(port=port), front=front, closes=True, most_connections=_EXAMPLE_QUEUE
    )


def _bare_stream(fleet: Fleet, _: Needs) -> Subject:
    tokens = fleet.folder / "bare stream"
    tokens.mkdir()
    (tokens / "bare").write_text("token")
    return BareStream(tokens=tokens)


def _filled(template: str, into: Path, /, **values: object) -> Path:
    written = into / template
    written.write_text(Template((HERE / "peers" / template).read_text()).substitute(values))
    return written


HUB = "hub attached"
HUB_READY = "hub attached, answer ready"
HUB_READY_DIGEST = "hub attached, answer and digest ready"
HUB_DIGEST = "hub attached, digest"
DIALLED = "hub dialled"
DIALLED_READY = "hub dialled, answer ready"
ENVOY = "envoy"
NGINX = "nginx"
EXAMPLE = "example plugin"
CONSTANT = "bare aiohttp"
BARE_STREAM = "bare stream"

SUBJECTS: dict[str, Callable[[Fleet, Needs], Subject]] = {
    HUB: functools.partial(_hub, name=HUB),
    HUB_READY: functools.partial(_hub, name=HUB_READY, kind="ready"),
    HUB_READY_DIGEST: functools.partial(_hub, name=HUB_READY_DIGEST, kind="ready-digest"),
    HUB_DIGEST: functools.partial(_hub, name=HUB_DIGEST, kind="sdk-digest"),
    DIALLED: functools.partial(_hub, name=DIALLED, dialled=True),
    DIALLED_READY: functools.partial(_hub, name=DIALLED_READY, dialled=True, kind="ready"),
    **{f"{count} members": functools.partial(_members, name=f"{count} members", count=count) for count in (1, 4, 16)},
    **{
        f"{count} routes": functools.partial(_routes, name=f"{count} routes", count=count)
        for count in (10, 1_000, 10_000)
    },
    ENVOY: _envoy,
    NGINX: _nginx,
    EXAMPLE: _example,
    CONSTANT: _constant,
    BARE_STREAM: _bare_stream,
}

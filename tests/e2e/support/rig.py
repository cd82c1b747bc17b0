"""A hub with its configuration, backends beside it, and everything that ends with the test."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.support import calls
from tests.e2e.support.processes import COMMANDS, Finished, Process, run

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from prometheus_client import Metric

ROOT = Path(__file__).parents[3]
BACKENDS = Path(__file__).parent / "backends"
CLIENT_TOKEN = "argocd-token"


class Hub(Process):
    """A hub that serves."""

    def __init__(self, *command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        super().__init__(*command, cwd=cwd, env=env)
        self.tls: ssl.SSLContext | None = None
        self.admin_tls: ssl.SSLContext | None = None

    def started(self) -> None:
        """Wait until it serves, and learn its ports."""
        event = self.event("hub_started")
        self.http, self.grpc, self.admin = (int(event[key].rpartition(":")[2]) for key in ("http", "grpc", "admin"))

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc}"

    def ask(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        token: str | None = CLIENT_TOKEN,
        route: str = "",
    ) -> calls.Reply:
        """Ask as Argo CD does, on a connection of its own."""
        connection = self.connect()
        try:
            return connection.ask(name, parameters, token=token, route=route)
        finally:
            connection.close()

    def connect(self) -> calls.Connection:
        return calls.Connection(self.http, tls=self.tls)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> calls.Reply:
        """Read from the admin port."""
        return calls.once(self.admin, path, headers, tls=self.admin_tls)

    def joined(self, *backends: str, after: int = 0) -> None:
        """Wait until an instance of each can be asked."""
        for backend in backends:
            self.event("instance_joined", after=after, backend=backend)

    def metrics(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.get("/metrics").body.decode()))

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one sample, or ``None``."""
        for family in self.metrics():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None


class Rig:
    """A folder with a configuration, and the processes that a test starts in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "hub.yaml"
        self._stack = ExitStack()
        (folder / "tokens").mkdir()

    def close(self) -> None:
        """End everything."""
        self._stack.close()

    def token(self, name: str, text: str | None = None) -> dict[str, str]:
        """Write a token's file; returns how the configuration names it. Unless told, the text is ``NAME-token``."""
        file = self.folder / "tokens" / name
        file.write_text(text or f"{name}-token")
        return {"file": f"tokens/{name}"}

    def backend(self, name: str, **settings: Any) -> dict[str, Any]:
        """The configuration of a backend that attaches or registers."""
        return {"name": name, "tokens": [self.token(name)], **settings}

    def client(self, name: str = "argocd", **settings: Any) -> dict[str, Any]:
        """The configuration of a client; the token of ``argocd`` is ``CLIENT_TOKEN``."""
        return {"name": name, "tokens": [self.token(name)], **settings}

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Write the configuration: one client, free ports, a store that lasts, and what is given."""
        whole = {
            "listen": dict.fromkeys(("http", "grpc", "admin"), "127.0.0.1:0"),
            "store": "sqlite:hub.db",
            "drain": {"delay": "0s"},
            **settings,
        }
        whole.setdefault("clients", [self.client()])
        self.write(json.dumps(whole, indent=1))  # JSON is YAML.
        return whole

    def write(self, text: str) -> None:
        """Replace the configuration at once, as an editor does."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.config)

    def start(self, *command: object, env: Mapping[str, str] | None = None) -> Process:
        return self._stack.enter_context(Process(*command, cwd=self.folder, env=env))

    def python(self, script: Path, *arguments: object) -> Process:
        """Start a script with the interpreter of the tests."""
        return self.start(sys.executable, script, *arguments)

    def hub(self, *flags: object, env: Mapping[str, str] | None = None, within: Sequence[object] = ()) -> Hub:
        """Start a hub, and wait until it serves; ``within`` is a command that runs it."""
        serve = (COMMANDS / "appset-hub", "serve", "--config", self.config)
        hub = Hub(*within, *serve, *flags, cwd=self.folder, env=env)
        self._stack.enter_context(hub)
        hub.started()
        return hub

    def dev_hub(self, *flags: object) -> Hub:
        """Start a hub with ``--dev`` and no configuration."""
        hub = Hub(COMMANDS / "appset-hub", "serve", "--dev", *flags, cwd=self.folder)
        self._stack.enter_context(hub)
        hub.started()
        return hub

    def hub_again(self, before: Hub) -> Hub:
        """Start a hub on the ports of one that is gone."""
        ports = {"--http": before.http, "--grpc": before.grpc, "--admin": before.admin}
        return self.hub(*(part for flag, port in ports.items() for part in (flag, f"127.0.0.1:{port}")))

    def sdk(self, name: str, hub: Hub | None, *options: object) -> Process:
        """Start a backend on the SDK: attached, or whatever ``options`` say."""
        return self._backend("sdk_backend.py", name, hub, *options)

    def stubs(self, name: str, hub: Hub | None, *options: object) -> Process:
        """Start a backend on nothing but the generated stubs."""
        return self._backend("stub_backend.py", name, hub, *options)

    def reflected(self, name: str, hub: Hub, *options: object) -> Process:
        """Start a backend that knows the contract from the hub's reflection only."""
        return self._backend("reflected_backend.py", name, hub, *options)

    def _backend(self, script: str, name: str, hub: Hub | None, *options: object) -> Process:
        where: list[object] = []
        if hub is not None:
            where = ["--hub", hub.grpc_address, "--token-file", self.folder / "tokens" / name]
        return self.start(sys.executable, BACKENDS / script, "--name", name, *where, *options)

    def static(
        self, name: str, document: Mapping[str, Any], *options: object, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start the bundled backend ``static``."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(document))
        command = (COMMANDS / "appset-hub-backend", "static", "--config", file, "--name", name)
        return self.start(*command, *options, env=env)

    def command(self, *arguments: object, env: Mapping[str, str] | None = None) -> Finished:
        """Run ``appset-hub`` to its end."""
        return run(COMMANDS / "appset-hub", *arguments, cwd=self.folder, env=env)


def port_of(backend: Process) -> int:
    """Wait until a backend listens; returns its port."""
    return int(backend.says("listening on port ").rpartition(" ")[2])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

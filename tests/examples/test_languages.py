"""The backends in Go and JavaScript, built as their pages say, behind a real hub."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from appset_hub.testing import FakeHub

from tests.e2e.support.rig import Rig, free_port
from tests.support.certificates import Authority
from tests.support.http_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.e2e.support.rig import Hub

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MAIN = [{"branch": "main", "digest": "sha256:4a5e1e"}]
LANGUAGES = ("go", "node")
GRPC_TLS = {"grpc": {"certificate": "cert.pem", "key": "key.pem"}}
LEASE_S = 3.0

pytestmark = pytest.mark.timeout(300)  # A first build brings and compiles what the backend is made of.


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A backend that can be started: its command, and how it writes an option."""

    command: tuple[str, ...]
    dash: str
    environment: Mapping[str, str]

    def options(self, **options: object) -> list[str]:
        """The command with these options."""
        named = {key.replace("_", "-"): str(value) for key, value in options.items()}
        return [*self.command, *(part for key, value in named.items() for part in (f"{self.dash}{key}", value))]


def need(program: str) -> str:
    """The path of a program; without it the test is skipped, but not where CI runs."""
    found = shutil.which(program)
    if found is None:
        text = f"{program} is not here"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


def run(*command: object, cwd: Path) -> None:
    """Run a command to its end; the test fails with all that it said if it does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout


def build_go(folder: Path) -> Example:
    program = folder / "backend"
    run(need("go"), "build", "-o", program, ".", cwd=EXAMPLES / "go")
    return Example(command=(str(program),), dash="-", environment={})


def build_node(folder: Path) -> Example:
    node, npm = need("node"), need("npm")
    place = folder / "node"
    shutil.copytree(EXAMPLES / "node", place, ignore=shutil.ignore_patterns("node_modules"))
    run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", cwd=place)
    return Example(command=(node, str(place / "main.js")), dash="--", environment={"PROTO": str(ROOT / "proto")})


BUILDERS: dict[str, Callable[[Path], Example]] = {"go": build_go, "node": build_node}


@pytest.fixture(scope="module", params=LANGUAGES)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """One language's backend, built."""
    language: str = request.param
    return BUILDERS[language](tmp_path_factory.mktemp(language))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for processes; they end with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def tls(rig: Rig) -> Mapping[str, Path]:
    """The files of a certificate for ``localhost``, of who signed it, and of somebody else who signs."""
    authority = Authority()
    key, chain = authority.pair("localhost")
    texts = {"ca": authority.ca_pem, "another_ca": Authority().ca_pem, "cert": chain, "key": key}
    files = {name: rig.folder / f"{name}.pem" for name in texts}
    for name, text in texts.items():
        files[name].write_bytes(text)
    return files


def check_answers(hub: Hub) -> None:
    """A branch has its image, and who asks for another one is told so."""
    assert hub.ask("fb-matrix", {"branch": "main"}).sets == MAIN
    for parameters in ({"branch": "nobody's"}, {"branch": 1}, {}):
        hub.ask("fb-matrix", parameters).refuses(400, "input_refused", "images", "$.branch")


def test_attached_it_answers_and_leaves_well(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route(wait_for_absent="0s")])
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    backend = rig.start(*command, env=example.environment)
    hub.joined("images")
    check_answers(hub)
    assert backend.stop() == 0
    hub.ask("fb-matrix", {"branch": "main"}).refuses(503, "backend_absent")


def test_it_attaches_past_a_proxy_of_the_environment(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route(wait_for_absent="0s")])
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    with Proxy() as proxy:
        rig.start(*command, env={**example.environment, **proxy.environment})
        hub.joined("images")
        assert proxy.asked == []


def test_attached_it_comes_back_to_a_hub_that_was_killed(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route(wait_for_absent="20s")])
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    backend = rig.start(*command, env=example.environment)
    hub.joined("images")
    hub.kill()
    hub = rig.hub_again(hub)
    assert hub.ask("fb-matrix", {"branch": "main"}).sets == MAIN
    assert backend.alive


def test_attached_and_frozen_it_is_noticed_and_comes_back(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route(wait_for_absent="0s")], limits={"heartbeat": "200ms"})
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    backend = rig.start(*command, env=example.environment)
    backend.says("attached to hub")
    hub.joined("images")
    # Idle for longer than silence is borne: its heartbeats keep it attached.
    time.sleep(2)
    assert hub.events("instance_left") == []
    backend.signal(signal.SIGSTOP)
    assert "not even a heartbeat" in hub.event("instance_left")["cause"]
    backend.signal(signal.SIGCONT)
    marked = hub.mark()
    hub.joined("images", after=marked)
    check_answers(hub)
    assert backend.stop() == 0


def test_attached_to_a_frozen_hub_it_says_so_and_attaches_again(rig: Rig, example: Example) -> None:
    rig.configure(
        backends=[rig.backend("images")], routes=[route(wait_for_absent="20s")], limits={"heartbeat": "200ms"}
    )
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    backend = rig.start(*command, env=example.environment)
    backend.says("attached to hub")
    hub.signal(signal.SIGSTOP)
    backend.says("nothing was heard from the hub")
    hub.signal(signal.SIGCONT)
    check_answers(hub)
    assert backend.stop() == 0


def test_attached_it_sends_no_answer_that_is_too_large(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route()], limits={"max_answer_bytes": 20})
    hub = rig.hub()
    token = rig.folder / "tokens" / "images"
    command = example.options(hub=hub.grpc_address, name="images", token_file=token)
    rig.start(*command, env=example.environment)
    hub.joined("images")
    sizes = ("the answer has 44 bytes of JSON", "the hub accepts 20")
    hub.ask("fb-matrix", {"branch": "main"}).refuses(502, "limit_exceeded", "images", *sizes)
    assert hub.events("instance_left") == []


def test_with_a_wrong_token_it_says_why_and_is_not_attached(rig: Rig, example: Example) -> None:
    rig.configure(backends=[rig.backend("images")], routes=[route(wait_for_absent="0s")])
    hub = rig.hub()
    wrong = rig.folder / "wrong"
    wrong.write_text("not-the-token")
    command = example.options(hub=hub.grpc_address, name="images", token_file=wrong)
    backend = rig.start(*command, env=example.environment)
    assert re.search("unauthenticated", backend.says("not attached"), re.IGNORECASE)
    hub.ask("fb-matrix", {"branch": "main"}).refuses(503, "backend_absent")


@pytest.mark.parametrize("is_dialled", [False, True], ids=["attached", "registered"])
def test_a_claim_outside_its_grant_is_said(rig: Rig, example: Example, *, is_dialled: bool) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig.configure(backends=[rig.backend("images", application_sets=["x-*"], addresses=["127.0.0.1:*"])])
    hub = rig.hub()
    where = {"listen": address, "address": address} if is_dialled else {}
    token = rig.folder / "tokens" / "images"
    backend = rig.start(*example.options(hub=hub.grpc_address, token_file=token, **where), env=example.environment)
    assert '"fb-*"' in backend.says("the hub ignores the claim")
    assert hub.event("claim_ignored")["patterns"] == ["fb-*"]


def test_dialled_it_answers_and_leaves_well(rig: Rig, example: Example) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig.configure(backends=[{"name": "images", "address": address}], routes=[route()])
    backend = rig.start(*example.options(listen=address), env=example.environment)
    backend.says("listening on ")
    hub = rig.hub()
    check_answers(hub)
    assert backend.stop() == 0


def test_dialled_and_frozen_it_is_noticed_within_ten_seconds_and_comes_back(rig: Rig, example: Example) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig.configure(backends=[{"name": "images", "address": address}], routes=[route()])
    backend = rig.start(*example.options(listen=address), env=example.environment)
    backend.says("listening on ")
    hub = rig.hub()
    check_answers(hub)
    backend.signal(signal.SIGSTOP)
    began_s = time.monotonic()
    hub.ask("fb-matrix", {"branch": "main"}).refuses(503, "backend_unresponsive", '"images"')
    assert time.monotonic() - began_s < 12
    backend.signal(signal.SIGCONT)
    hub.event("instance_joined", after=hub.mark(), backend="images")
    check_answers(hub)
    assert hub.metric("appset_hub_backend_ejections_total", backend="images") == 1


def test_attached_over_tls_it_answers_and_believes_no_other_hub(
    rig: Rig, example: Example, tls: Mapping[str, Path]
) -> None:
    # Without a route: the backend's own claim leads to it.
    rig.configure(tls=GRPC_TLS, backends=[rig.backend("images", application_sets=["fb-*"])])
    hub = rig.hub()
    whole = {"hub": f"localhost:{hub.grpc}", "token_file": rig.folder / "tokens" / "images"}
    stranger = rig.start(*example.options(**whole, ca_file=tls["another_ca"]), env=example.environment)
    assert "certificate" in stranger.says("not attached")
    assert hub.events("instance_joined") == []
    backend = rig.start(*example.options(**whole, ca_file=tls["ca"]), env=example.environment)
    hub.joined("images")
    check_answers(hub)
    assert backend.stop() == 0


def test_dialled_it_registers_over_tls_and_deregisters(rig: Rig, example: Example, tls: Mapping[str, Path]) -> None:
    address = f"localhost:{free_port()}"
    configured = rig.backend("images", addresses=["localhost:*"], call_tls={"ca": "ca.pem"})
    rig.configure(tls=GRPC_TLS, backends=[configured], routes=[route(wait_for_absent="0s")])
    hub = rig.hub()
    command = example.options(
        listen=address,
        address=address,
        hub=f"localhost:{hub.grpc}",
        token_file=rig.folder / "tokens" / "images",
        ca_file=tls["ca"],
        cert_file=tls["cert"],
        key_file=tls["key"],
    )
    backend = rig.start(*command, env=example.environment)
    hub.joined("images")
    check_answers(hub)
    assert backend.stop() == 0
    assert hub.event("instance_left")["cause"] == "deregistered"
    hub.ask("fb-matrix", {"branch": "main"}).refuses(503, "backend_absent")


async def test_dialled_it_renews_its_lease_before_it_ends(rig: Rig, example: Example) -> None:
    hub = FakeHub(ttl_s=LEASE_S)
    async with hub.serving():
        address = f"127.0.0.1:{free_port()}"
        rig.start(*example.options(listen=address, address=address, hub=hub.address), env=example.environment)
        [first] = await hub.registered()
        since_s = time.monotonic()
        [third] = await hub.registered(3)
        # Each in time, and not without pause.
        assert LEASE_S / 3 < time.monotonic() - since_s < 2 * LEASE_S
        assert first == third


def test_dialled_it_registers_with_a_hub_that_was_killed(rig: Rig, example: Example) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig.configure(
        backends=[rig.backend("images", addresses=["127.0.0.1:*"])],
        routes=[route(wait_for_absent="20s")],
        limits={"lease": "1s"},
    )
    hub = rig.hub()
    where = {"hub": hub.grpc_address, "token_file": rig.folder / "tokens" / "images"}
    backend = rig.start(*example.options(listen=address, address=address, **where), env=example.environment)
    hub.joined("images")
    hub.kill()
    backend.says("not registered")
    hub = rig.hub_again(hub)
    assert hub.ask("fb-matrix", {"branch": "main"}).sets == MAIN
    assert backend.stop() == 0


def route(**settings: str) -> dict[str, object]:
    """The configuration of the route to the backend."""
    return {"name": "images", "application_sets": ["fb-*"], "backends": ["images"], **settings}


def test_the_go_stubs_are_what_the_contract_says(tmp_path: Path) -> None:
    go = need("go")
    place = tmp_path / "examples" / "go"
    shutil.copytree(EXAMPLES / "go", place, ignore=shutil.ignore_patterns("stubs"))
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    run(go, "generate", cwd=place)
    stubs = (EXAMPLES / "go" / "stubs", place / "stubs")
    committed, generated = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in stubs)
    assert generated == committed, "run go generate in examples/go"


def test_the_node_lock_names_no_place() -> None:
    lock = (EXAMPLES / "node" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock

"""What is rendered, started: a real hub and a real backend with the files that their pods would have."""

from __future__ import annotations

import re
import shlex
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from backends.cli import KINDS
from tests.deploy.pods import HUB_HOSTS, Pod, lay
from tests.deploy.rendering import ROOT, need, run
from tests.e2e.support.processes import COMMANDS, until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.deploy.rendering import Document
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

TWO_SETS = [{"key1": "val1", "key2": "val2"}, {"key1": "val2", "key2": "val2"}]


def start_hub(rig: Rig, objects: list[Document], workload: str, container: str) -> tuple[Pod, Hub]:
    """Start the hub of a pod, on free ports of loopback."""
    pod = Pod(rig.folder / workload, objects, workload, container)
    pod.localise("/etc/appset-hub", "hub.yaml")
    ports = [part for name in ("http", "grpc", "admin") for part in (f"--{name}", "127.0.0.1:0")]
    *program, config = pod.command
    assert program == ["appset-hub", "serve", "--config"]
    rig.config = Path(pod.here(config))
    return pod, rig.hub(*ports)


def initialise(rig: Rig, pod: Pod, hub: Hub) -> None:
    """As docs/install.md says, once: until then the hub answers nothing."""
    hub.ask("fake-appset", token="argocd-token").refuses(503, "store_uninitialised", "appset-hub store init")
    token = pod.at("/run/secrets/appset-hub") / "admin"
    secret = ("--admin-token-file", token) if "admin:" in rig.config.read_text() else ()
    done = rig.command("store", "init", "--admin", f"http://127.0.0.1:{hub.admin}", *secret)
    assert done.code == 0, done


def start_backend(rig: Rig, objects: list[Document], name: str, hub: Hub, *, left_out: tuple[str, ...] = ()) -> Process:
    """Start a backend of a pod, with a hub on this machine and its own port on loopback; without some options."""
    pod = Pod(rig.folder / name, objects, name, "backend")
    program, *arguments = pod.command
    # By name, for the hub's certificate has no address.
    here = {"--hub=appset-hub-backends:4356": f"--hub=localhost:{hub.grpc}", "--admin=:4358": "--admin=127.0.0.1:0"}
    assert here.keys() <= set(arguments)
    assert set(left_out) <= {each.partition("=")[0] for each in arguments}
    kept = [here.get(each, each) for each in arguments if each.partition("=")[0] not in left_out]
    return rig.start(COMMANDS / program, *map(pod.here, kept))


@pytest.mark.parametrize("name", ["base", "production", "http-plugin", "mutual-tls"])
def test_the_rendered_hub_starts(rig: Rig, standalone: Mapping[str, list[Document]], name: str) -> None:
    _, hub = start_hub(rig, standalone[name], "appset-hub", "hub")
    assert hub.get("/readyz").status == 200
    hub.ask("fake-appset", token=None).refuses(403, "token_missing")
    assert hub.ask("fake-appset", token="argocd-token").status in (403, 404, 503)
    assert hub.stop() == 0


def test_the_dev_overlay_answers_as_argo_cds_documentation_does(
    rig: Rig, standalone: Mapping[str, list[Document]]
) -> None:
    _, hub = start_hub(rig, standalone["dev"], "appset-hub", "hub")
    start_backend(rig, standalone["dev"], "appset-hub-static", hub)
    hub.joined("static")
    assert hub.ask("fake-appset", {"param1": "value1"}, token="strong-password").sets == TWO_SETS


@pytest.mark.parametrize("name", ["sidecar", "sidecar-tls"])
def test_the_sidecar_answers_once_a_backend_is_configured(
    rig: Rig, rendered: Mapping[str, list[Document]], name: str
) -> None:
    pod, hub = start_hub(rig, rendered[name], "argocd-applicationset-controller", "appset-hub")
    initialise(rig, pod, hub)
    hub.ask("fake-appset", token="argocd-token").refuses(404, "nobody_serves")
    folder = pod.at("/etc/appset-hub")
    document = yaml.safe_load((folder / "hub.yaml").read_text())
    token = {"file": str(pod.at("/run/secrets/appset-hub") / "static")}
    document["backends"] = [{"name": "static", "tokens": [token], "application_sets": ["fake-appset"]}]
    # As `kubectl apply` of another ConfigMap, some time later.
    lay(folder, {"hub.yaml": yaml.safe_dump(document)})
    hub.event("configuration_reloaded")
    start_backend(rig, rendered[name], "appset-hub-static", hub)
    hub.joined("static")
    assert hub.ask("fake-appset", token="argocd-token").sets == TWO_SETS[:1]


def test_the_backends_of_production_attach_over_tls(rig: Rig, standalone: Mapping[str, list[Document]]) -> None:
    _, hub = start_hub(rig, standalone["production"], "appset-hub", "hub")
    for kind in ("static", "oci"):
        start_backend(rig, standalone["production"], f"appset-hub-{kind}", hub)
    hub.joined("static", "oci")


def test_a_backend_with_a_certificate_answers_over_mutual_tls(
    rig: Rig, standalone: Mapping[str, list[Document]]
) -> None:
    _, hub = start_hub(rig, standalone["mutual-tls"], "appset-hub", "hub")
    start_backend(rig, standalone["mutual-tls"], "appset-hub-static", hub)
    hub.joined("static")
    assert hub.ask("fake-appset", token="argocd-token").sets == TWO_SETS[:1]


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        pytest.param("production", ("--ca-file",), id="in plain text"),
        pytest.param("mutual-tls", ("--cert-file", "--key-file"), id="without a certificate"),
        pytest.param("mutual-tls", ("--token-file",), id="with a certificate, but without a token"),
    ],
)
def test_a_backend_does_not_get_in(
    rig: Rig, standalone: Mapping[str, list[Document]], name: str, left_out: tuple[str, ...]
) -> None:
    _, hub = start_hub(rig, standalone[name], "appset-hub", "hub")
    backend = start_backend(rig, standalone[name], "appset-hub-static", hub, left_out=left_out)
    backend.says("not attached to the hub")
    assert hub.events("instance_joined") == []


def test_the_certificate_that_the_page_makes_is_one_for_the_names_of_the_hub(
    rig: Rig, standalone: Mapping[str, list[Document]]
) -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    [command] = re.findall(r"^\$ (openssl req (?:.*\\\n)*.*)$", page, flags=re.MULTILINE)
    run(need("openssl"), *shlex.split(command.replace("\\\n", ""))[1:], cwd=rig.folder)
    pod, hub = start_hub(rig, standalone["production"], "appset-hub", "hub")
    files = {name: (rig.folder / name).read_text() for name in ("tls.crt", "tls.key")}
    lay(pod.at("/run/secrets/appset-hub-tls"), files)
    context = ssl.create_default_context(cadata=files["tls.crt"])
    context.set_alpn_protocols(["h2"])
    for host in HUB_HOSTS[:2]:
        until(partial(shows_a_certificate_for, host, hub, context), f"a certificate for {host}")


def shows_a_certificate_for(host: str, hub: Hub, context: ssl.SSLContext) -> bool:
    """Whether the port for backends is the one that the context believes in, under this name."""
    with socket.create_connection(("127.0.0.1", hub.grpc), timeout=10) as raw:
        try:
            context.wrap_socket(raw, server_hostname=host).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dev", "static"),
        ("production", "static"),
        ("production", "oci"),
        ("http-plugin", "http-plugin"),
        ("mutual-tls", "static"),
    ],
)
def test_a_backend_takes_its_configuration(
    tmp_path: Path, standalone: Mapping[str, list[Document]], name: str, kind: str
) -> None:
    pod = Pod(tmp_path, standalone[name], f"appset-hub-{kind}", "backend")
    pod.localise("/etc/appset-hub-backend", f"{kind}.yaml")
    [opened] = [each.open for each in KINDS if each.name == kind]
    opened(pod.at("/etc/appset-hub-backend") / f"{kind}.yaml")

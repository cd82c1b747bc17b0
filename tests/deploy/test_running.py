"""What is rendered, started: a real hub and a real backend with the files that their pods would have."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from backends.cli import KINDS
from tests.deploy.rendering import containers, one, pod_specs
from tests.e2e.support.processes import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.deploy.rendering import Document
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

TWO_SETS = [{"key1": "val1", "key2": "val2"}, {"key1": "val2", "key2": "val2"}]


class Pod:
    """A folder in the place of a pod's file system, with its ConfigMaps and Secrets as the kubelet lays them."""

    def __init__(self, root: Path, objects: list[Document], workload: str, container: str) -> None:
        self.root = root
        self._spec = pod_specs(objects)[workload]
        [self.container] = [each for each in containers(self._spec) if each["name"] == container]
        volumes = {volume["name"]: volume for volume in self._spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            folder = self.at(mount["mountPath"])
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                lay(folder, one(objects, "ConfigMap", volume["configMap"]["name"])["data"])
            elif "secret" in volume:
                lay(folder, secret_files(objects, volume["secret"]))
            else:
                folder.mkdir(parents=True)

    def at(self, path: str) -> Path:
        """Where an absolute path of the pod is here."""
        return self.root / path.removeprefix("/")

    def here(self, text: str) -> str:
        """A text with the pod's folders where they are here."""
        for mount in self.container["volumeMounts"]:
            text = text.replace(mount["mountPath"], str(self.at(mount["mountPath"])))
        return text

    def localise(self, folder: str, file: str) -> None:
        """Lay a ConfigMap once more, with the paths in its file as they are here."""
        place = self.at(folder)
        lay(place, {file: self.here((place / file).read_text())})

    @property
    def command(self) -> list[str]:
        """The container's command, here."""
        program, *arguments = map(str, [*self.container["command"], *self.container.get("args", ())])
        return [str(COMMANDS / program), *map(self.here, arguments)]


def secret_files(objects: list[Document], volume: Document) -> dict[str, str]:
    """The files of a Secret's volume; a Secret that is the reader's to make has a token for everybody."""
    found = [each for each in objects if each["kind"] == "Secret" and each["metadata"]["name"] == volume["secretName"]]
    names = ("argocd", "admin", "static", "oci", "http-plugin", "token")
    keys = {key: base64.b64decode(value).decode() for key, value in found[0]["data"].items()} if found else {}
    keys = keys or {name: f"{name}-token" for name in names}
    return {item["path"]: keys[item["key"]] for item in volume["items"]} if "items" in volume else keys


def lay(folder: Path, files: Mapping[str, str]) -> None:
    """Write files as the kubelet does: into a new folder, to which the link ``..data`` is then moved at once."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"..{sum(1 for _ in folder.glob('..[0-9]*'))}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    link = folder / "..fresh"
    link.symlink_to(fresh.name)
    link.replace(folder / "..data")


def start_hub(rig: Rig, objects: list[Document], workload: str, container: str) -> tuple[Pod, Hub]:
    """Start the hub of a pod, on free ports of loopback."""
    pod = Pod(rig.folder / workload, objects, workload, container)
    pod.localise("/etc/appset-hub", "hub.yaml")
    ports = [part for name in ("http", "grpc", "admin") for part in (f"--{name}", "127.0.0.1:0")]
    assert pod.command[:-1] == [str(COMMANDS / "appset-hub"), "serve", "--config"]
    rig.config = Path(pod.command[-1])
    return pod, rig.hub(*ports)


def start_backend(rig: Rig, objects: list[Document], name: str, hub: Hub) -> Process:
    """Start a backend of a pod, attached to a hub on this machine."""
    pod = Pod(rig.folder / name, objects, name, "backend")
    command = [part.replace("appset-hub-backends:4356", hub.grpc_address) for part in pod.command]
    return rig.start(*command)


@pytest.mark.parametrize("name", ["base", "production", "http-plugin"])
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


def test_the_sidecar_answers_once_a_backend_is_configured(rig: Rig, sidecar: list[Document]) -> None:
    pod, hub = start_hub(rig, sidecar, "argocd-applicationset-controller", "appset-hub")
    hub.ask("fake-appset", token="argocd-token").refuses(404, "nobody_serves")
    folder = pod.at("/etc/appset-hub")
    document = yaml.safe_load((folder / "hub.yaml").read_text())
    token = {"file": str(pod.at("/run/secrets/appset-hub") / "static")}
    document["backends"] = [{"name": "static", "tokens": [token], "application_sets": ["fake-appset"]}]
    # As `kubectl apply` of another ConfigMap, some time later.
    lay(folder, {"hub.yaml": yaml.safe_dump(document)})
    hub.event("configuration_reloaded")
    start_backend(rig, sidecar, "appset-hub-static", hub)
    hub.joined("static")
    assert hub.ask("fake-appset", token="argocd-token").sets == TWO_SETS[:1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dev", "static"), ("production", "static"), ("production", "oci"), ("http-plugin", "http-plugin")],
)
def test_a_backend_takes_its_configuration(
    tmp_path: Path, standalone: Mapping[str, list[Document]], name: str, kind: str
) -> None:
    pod = Pod(tmp_path, standalone[name], f"appset-hub-{kind}", "backend")
    pod.localise("/etc/appset-hub-backend", f"{kind}.yaml")
    [opened] = [each.open for each in KINDS if each.name == kind]
    opened(pod.at("/etc/appset-hub-backend") / f"{kind}.yaml")

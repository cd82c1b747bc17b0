"""The pods of what is rendered: their file systems as the kubelet lays them, and their containers' commands."""

from __future__ import annotations

import base64
import functools
import os
from typing import TYPE_CHECKING

import trustme

from tests.deploy.rendering import containers, one, pod_specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.deploy.rendering import Document

TOKENS = ("argocd", "admin", "static", "oci", "http-plugin", "token")
HUB_HOSTS = ("appset-hub-backends", "appset-hub-backends.appset-hub.svc", "localhost")


class Pod:
    """A folder in the place of a pod's file system, with its ConfigMaps and Secrets as the kubelet lays them."""

    def __init__(self, root: Path, objects: list[Document], workload: str, container: str) -> None:
        self.root = root
        self._spec = pod_specs(objects)[workload]
        [self.container] = [each for each in containers(self._spec) if each["name"] == container]
        self._volumes = {volume["name"]: volume for volume in self._spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            folder = self.at(mount["mountPath"])
            volume = self._volumes.get(mount["name"], {})
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
            # With the slash, for one folder's name may be the beginning of another's.
            text = text.replace(mount["mountPath"] + "/", f"{self.at(mount['mountPath'])}/")
        return text

    def localise(self, folder: str, file: str) -> None:
        """Lay a ConfigMap once more, with the paths in its file as they are here."""
        place = self.at(folder)
        lay(place, {file: self.here((place / file).read_text())})

    def hand_over(self) -> None:
        """Give the volumes to the pod's group, with the modes that it asks for, as the kubelet does for ``fsGroup``."""
        group = self._spec["securityContext"]["fsGroup"]
        for mount in self.container["volumeMounts"]:
            folder = self.at(mount["mountPath"])
            mode = self._volumes.get(mount["name"], {}).get("secret", {}).get("defaultMode")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 0, group, follow_symlinks=False)
                if mode is not None and path.is_file() and not path.is_symlink():
                    path.chmod(mode)
            if not mount.get("readOnly"):
                folder.chmod(0o2775)

    @property
    def mounts(self) -> Mapping[str, tuple[Path, bool]]:
        """Where each volume is here, and whether it is read-only, by its path in the pod."""
        return {
            mount["mountPath"]: (self.at(mount["mountPath"]), mount.get("readOnly", False))
            for mount in self.container["volumeMounts"]
        }

    @property
    def user(self) -> tuple[int, int]:
        """The user and group that the container runs as."""
        context = {**self._spec["securityContext"], **self.container["securityContext"]}
        return context["runAsUser"], context["runAsGroup"]

    @property
    def command(self) -> list[str]:
        """The container's command."""
        return [str(part) for part in (*self.container["command"], *self.container.get("args", ()))]


def secret_files(objects: list[Document], volume: Document) -> dict[str, str]:
    """The files of a Secret's volume; a Secret that is the reader's to make is as docs/install.md tells him."""
    name = volume["secretName"]
    found = [each for each in objects if each["kind"] == "Secret" and each["metadata"]["name"] == name]
    if found:
        keys = {key: base64.b64decode(value).decode() for key, value in found[0]["data"].items()}
    elif name.endswith("-tls"):
        keys = certificate(*(HUB_HOSTS if name == "appset-hub-tls" else (name.removesuffix("-tls"),)))
    else:
        keys = {token: f"{token}-token" for token in TOKENS}
    return {item["path"]: keys[item["key"]] for item in volume["items"]} if "items" in volume else keys


@functools.cache
def authority() -> trustme.CA:
    """Who signs the certificates of all pods."""
    return trustme.CA()


def certificate(*hosts: str) -> dict[str, str]:
    """The keys of a TLS Secret, as cert-manager writes them."""
    issued = authority().issue_cert(*hosts)
    return {
        "ca.crt": authority().cert_pem.bytes().decode(),
        "tls.crt": b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode(),
        "tls.key": issued.private_key_pem.bytes().decode(),
    }


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

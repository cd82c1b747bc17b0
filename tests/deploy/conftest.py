"""What the tests of ``deploy/`` share: everything rendered once."""

from __future__ import annotations

import shutil
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from tests.deploy.rendering import CONTROLLER, KUSTOMIZE_FOLDER, argo_cd_folder, consumer, render
from tests.e2e.support.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.deploy.rendering import Document


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Document]]:
    """The base, the overlays, and kustomizations with the components that no overlay has."""
    http_plugin = consumer(
        tmp_path_factory.mktemp("http-plugin"),
        namespace="appset-hub",
        resources=["deploy/base"],
        components=["deploy/components/backends/http-plugin"],
        configMapGenerator=[comment_of("backends/http-plugin", "appset-hub-http-plugin", "http-plugin.yaml")],
    )
    hub_yaml = (KUSTOMIZE_FOLDER / "base" / "hub.yaml").read_text() + comment("mutual-tls", "hub.yaml")
    mutual_tls = consumer(
        tmp_path_factory.mktemp("mutual-tls"),
        namespace="appset-hub",
        resources=["deploy/base"],
        components=["deploy/components/backends/static", "deploy/components/mutual-tls"],
        configMapGenerator=[
            {**config_map("appset-hub-config", "hub.yaml", hub_yaml), "behavior": "replace"},
            comment_of("backends/static", "appset-hub-static", "static.yaml"),
        ],
    )
    folders = {
        "base": KUSTOMIZE_FOLDER / "base",
        "dev": KUSTOMIZE_FOLDER / "overlays" / "dev",
        "production": KUSTOMIZE_FOLDER / "overlays" / "production",
        "http-plugin": http_plugin,
        "mutual-tls": mutual_tls,
    }
    return {name: render(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Argo CD's own ApplicationSet controller, with the hub beside it and a backend."""
    return beside_the_controller(tmp_path_factory.mktemp("sidecar"))


@pytest.fixture(scope="session")
def sidecar_tls(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """The same, with TLS between hub and backend."""
    return beside_the_controller(tmp_path_factory.mktemp("sidecar-tls"), "tls")


def beside_the_controller(folder: Path, *components: str) -> list[Document]:
    """Render the sidecar in a folder, with further components and what their comments add to hub.yaml."""
    shutil.copytree(argo_cd_folder() / "manifests" / "base" / "applicationset-controller", folder / CONTROLLER)
    hub_yaml = "".join(comment(component, "hub.yaml") for component in ("sidecar", *components))
    consumer(
        folder,
        namespace="argocd",
        resources=[CONTROLLER],
        components=[f"deploy/components/{each}" for each in ("sidecar", "backends/static", *components)],
        configMapGenerator=[
            config_map("appset-hub-config", "hub.yaml", hub_yaml),
            comment_of("backends/static", "appset-hub-static", "static.yaml"),
        ],
    )
    return render(folder)


def comment(component: str, file: str) -> str:
    """The text that a component's comment proposes for a file."""
    lines = (KUSTOMIZE_FOLDER / "components" / component / "kustomization.yaml").read_text().splitlines()
    begin = lines.index(f"#   # {file}") + 1
    text = takewhile(lambda line: line.startswith("#   "), lines[begin:])
    return "".join(line.removeprefix("#   ") + "\n" for line in text)


def config_map(name: str, file: str, text: str) -> Document:
    """A generator's entry for a ConfigMap of one file."""
    return {"name": name, "literals": [f"{file}={text}"], "options": {"disableNameSuffixHash": True}}


def comment_of(component: str, name: str, file: str) -> Document:
    """The ConfigMap that a component asks for, with the text that its comment proposes."""
    return config_map(name, file, comment(component, file))


@pytest.fixture(scope="session")
def rendered(
    standalone: Mapping[str, list[Document]], sidecar: list[Document], sidecar_tls: list[Document]
) -> Mapping[str, list[Document]]:
    """Everything."""
    return {**standalone, "sidecar": sidecar, "sidecar-tls": sidecar_tls}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for processes; they end with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()

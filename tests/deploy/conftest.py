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
    """The base, the overlays, and a kustomization with the one backend that no overlay has."""
    http_plugin = consumer(
        tmp_path_factory.mktemp("http-plugin"),
        namespace="appset-hub",
        resources=["deploy/base"],
        components=["deploy/components/backends/http-plugin"],
        configMapGenerator=[comment_of("backends/http-plugin", "appset-hub-http-plugin", "http-plugin.yaml")],
    )
    folders = {
        "base": KUSTOMIZE_FOLDER / "base",
        "dev": KUSTOMIZE_FOLDER / "overlays" / "dev",
        "production": KUSTOMIZE_FOLDER / "overlays" / "production",
        "http-plugin": http_plugin,
    }
    return {name: render(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Argo CD's own ApplicationSet controller, with the hub beside it and a backend."""
    folder = tmp_path_factory.mktemp("sidecar")
    shutil.copytree(argo_cd_folder() / "manifests" / "base" / "applicationset-controller", folder / CONTROLLER)
    consumer(
        folder,
        namespace="argocd",
        resources=[CONTROLLER],
        components=["deploy/components/sidecar", "deploy/components/backends/static"],
        configMapGenerator=[
            comment_of("sidecar", "appset-hub-config", "hub.yaml"),
            comment_of("backends/static", "appset-hub-static", "static.yaml"),
        ],
    )
    return render(folder)


def comment_of(component: str, name: str, file: str) -> Document:
    """The ConfigMap that a component asks for, with the text that its comment proposes."""
    lines = (KUSTOMIZE_FOLDER / "components" / component / "kustomization.yaml").read_text().splitlines()
    begin = lines.index(f"#   # {file}") + 1
    text = [line.removeprefix("#   ") for line in takewhile(lambda line: line.startswith("#   "), lines[begin:])]
    return {
        "name": name,
        "literals": [f"{file}=" + "\n".join(text)],
        "options": {"disableNameSuffixHash": True},
    }


@pytest.fixture(scope="session")
def rendered(standalone: Mapping[str, list[Document]], sidecar: list[Document]) -> Mapping[str, list[Document]]:
    """Everything."""
    return {**standalone, "sidecar": sidecar}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for processes; they end with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()

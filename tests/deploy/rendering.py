"""What ``deploy/`` renders to, and the tools that read it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[2]
KUSTOMIZE_FOLDER = ROOT / "deploy" / "kustomize"
ARGO_CD_FOLDER = ROOT / "deploy" / "argocd"
TOOLS = ROOT / ".cache" / "deploy"
CONTROLLER = "argocd-applicationset-controller"

Document = dict[str, Any]


def missing(what: str, remedy: str = "run make test-tools") -> NoReturn:
    """Skip the test, because a tool is not here; where CI runs it has to be."""
    text = f"{what} is not here: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def tool(name: str) -> Path:
    """A tool that ``install.py`` has put there."""
    found = next((path for path in (TOOLS / name, TOOLS / "venv" / "bin" / name) if path.exists()), None)
    return found if found is not None else missing(name)


def need(program: str) -> str:
    """A program of the machine's, from the Debian package of its name."""
    return shutil.which(program) or missing(program, f"apt-get install {program}")


def run(*command: object, cwd: Path = ROOT) -> str:
    """What a command says; the test fails with all of it if the command does."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def render(folder: Path) -> list[Document]:
    """The objects that a kustomization stands for."""
    return documents(run(tool("kustomize"), "build", folder))


def documents(text: str) -> list[Document]:
    """The objects in a text of YAML."""
    return [one for one in yaml.safe_load_all(text) if one is not None]


def argo_cd_folder() -> Path:
    """The sources of Argo CD, as Go keeps them."""
    if shutil.which("go") is None:
        missing("Go")
    module = "github.com/argoproj/argo-cd/v3"
    folder = run("go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module, cwd=ROOT / "tests" / "argocd").strip()
    return Path(folder) if folder else missing("Argo CD's module")


def consumer(folder: Path, **kustomization: Any) -> Path:
    """Write a kustomization that somebody out there would have, with ``deploy/kustomize`` beside it."""
    shutil.copytree(KUSTOMIZE_FOLDER, folder / "deploy")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def one(objects: Iterable[Document], kind: str, name: str) -> Document:
    """The object of this kind and name."""
    [found] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(objects: Iterable[Document]) -> Mapping[str, Document]:
    """The specification of each workload's pods, by the workload's name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet")
    }


def containers(pod: Document) -> list[Document]:
    """All containers of a pod, sidecars included."""
    return [*pod.get("initContainers", ()), *pod["containers"]]

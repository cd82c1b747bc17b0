"""Installs the tools of these tests into ``.cache/deploy``; what is there already is left alone.

The Python ones are locked in ``requirements.txt``, kustomize in ``go.mod``. Argo CD's module is only downloaded, for
the schema of ApplicationSets in it. Where Go is not on the machine, what needs it is left out and the tests say so.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".cache" / "deploy"

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5"
ARGO_CD = "github.com/argoproj/argo-cd/v3"


def install_python_tools() -> None:
    """Make their environment, again when its lock has changed."""
    environment = ROOT / "tools" / "environment.py"
    subprocess.run([sys.executable, environment, TOOLS / "venv", HERE / "requirements.txt"], check=True)


def install_go_tools() -> None:
    """Build kustomize, and have Argo CD's module on the disk. Go keeps what is up to date."""
    if shutil.which("go") is None:
        sys.stderr.write("Go is not here: kustomize and Argo CD's schemas are left out\n")
        return
    subprocess.run(["go", "build", "-o", TOOLS / "kustomize", KUSTOMIZE], cwd=HERE, check=True)
    subprocess.run(["go", "mod", "download", ARGO_CD], cwd=ROOT / "tests" / "argocd", check=True)


if __name__ == "__main__":
    TOOLS.mkdir(parents=True, exist_ok=True)
    try:
        install_python_tools()
        install_go_tools()
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)  # It has said what to fix.

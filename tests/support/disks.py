"""Disks that fail: a small one, one that turns read-only, and files that cannot be changed. They need root on Linux."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGE_BYTES = 8 * 1024 * 1024


def missing(what: str) -> NoReturn:
    """Skip the test, because something is not here; where CI runs it has to be."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def _need(*programs: str) -> None:
    if os.geteuid() != 0:
        missing("only root may mount a disk")
    for program in programs:
        if shutil.which(program) is None:
            missing(f"{program} is not here: on Debian, apt-get install mount e2fsprogs")


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"{command[0]} does not work here: {done.stderr.strip()}")


class SmallDisk:
    """A folder on a disk of a few pages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filling = folder / "filling"

    def fill(self, *, but_bytes: int = 0) -> None:
        """Leave no more space than this; whole pages count."""
        found = os.statvfs(self.folder)
        with self._filling.open("ab", buffering=0) as file:
            file.write(b"x" * (found.f_bavail * found.f_frsize - but_bytes))

    def free(self) -> None:
        """Have space again."""
        self._filling.unlink()


@contextmanager
def small_disk(folder: Path, *, size: str = "2m") -> Iterator[SmallDisk]:
    """A disk of its own at a new folder."""
    _need("mount", "umount")
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class Ext4Disk:
    """A folder on an ext4 file system."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self._trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"

    def break_(self) -> None:
        """Meet an error, as of a broken disk: from now on it is read-only, also for files that are open."""
        self._trigger.write_text("1")


@contextmanager
def ext4_disk(folder: Path) -> Iterator[Ext4Disk]:
    """A disk of its own at a new folder, which turns read-only at an error."""
    _need("mount", "umount", "mkfs.ext4", "findmnt")
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", image)
    folder.mkdir()
    _run("mount", "-o", "loop,errors=remount-ro", image, folder)
    try:
        found = subprocess.run(
            ["findmnt", "--noheadings", "--output", "SOURCE", folder], capture_output=True, text=True, check=True
        )
        yield Ext4Disk(folder, found.stdout.strip())
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def unchangeable(*paths: Path) -> Iterator[None]:
    """Nothing can be written to these files and folders, also not by who has opened them before."""
    _need("chattr")
    _run("chattr", "+i", *paths)
    try:
        yield
    finally:
        _run("chattr", "-i", *paths)

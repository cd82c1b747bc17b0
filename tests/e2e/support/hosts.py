"""Names for one process, which a test can change: an ``/etc/hosts`` that only this process sees."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_MOUNTED = 'mount --bind "$0" /etc/hosts && exec "$@"'


class PrivateHosts:
    """A hosts file, and the command within which a process sees it instead of the machine's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "hosts"
        self.set({})
        unshare = shutil.which("unshare")
        if unshare is None:
            pytest.skip("unshare is not here")
        self.within = (unshare, "--mount", "sh", "-c", _MOUNTED, self._file)
        done = subprocess.run([*map(str, self.within), "true"], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"needs the right to mount (as user {os.getuid()}): {done.stderr.decode().strip()}")

    def set(self, names: dict[str, list[str]]) -> None:
        """Let these names resolve to these addresses, and no others."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name in names for address in names[name])]
        # In place: another file under the same name would not be seen.
        with self._file.open("w") as file:
            file.write("".join(f"{line}\n" for line in lines))

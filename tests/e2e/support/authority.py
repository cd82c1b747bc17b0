"""A certificate authority of a test, and the files of what it signed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path


class Authority:
    """A certificate authority, and the files of what it signed."""

    def __init__(self, folder: Path, name: str = "ca.pem") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / name
        self._ca.cert_pem.write_to_path(str(self.file))
        self.context = ssl.create_default_context(cafile=str(self.file))

    def issue(self, name: str, *hosts: str, until: dt.datetime | None = None) -> dict[str, str]:
        """Write a certificate and its key, at once as Kubernetes does; returns how the configuration names them."""
        issued = self._ca.issue_cert(*hosts, not_after=until)
        for file, blobs in {"pem": issued.cert_chain_pems, "key": [issued.private_key_pem]}.items():
            fresh = self._folder / f"{name}.{file}.new"
            fresh.write_bytes(b"".join(blob.bytes() for blob in blobs))
            fresh.replace(self._folder / f"{name}.{file}")
        return {"certificate": f"{name}.pem", "key": f"{name}.key"}

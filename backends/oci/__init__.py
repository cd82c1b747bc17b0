"""The backend `oci`: digests of images in registries, by tag, pattern, range of versions, or newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.bundle import Kind
from backends.oci.config import schema

if TYPE_CHECKING:
    from pathlib import Path

    from backends.bundle import Bundle


def _open(path: Path) -> Bundle:
    from backends.oci.backend import OciBackend  # noqa: PLC0415 - it is slow to import, and other commands do without.

    return OciBackend.open(path)


KIND = Kind(
    name="oci",
    summary="Digests of images in registries, by tag, pattern, range of versions, or newest.",
    open=_open,
    schema=schema,
)

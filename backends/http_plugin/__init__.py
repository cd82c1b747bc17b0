"""The backend `http-plugin`: an existing HTTP plugin of Argo CD behind the hub, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.bundle import Kind
from backends.http_plugin.config import schema

if TYPE_CHECKING:
    from pathlib import Path

    from backends.bundle import Bundle


def _open(path: Path) -> Bundle:
    from backends.http_plugin.backend import HttpPluginBackend  # noqa: PLC0415 - it is slow to import, and other commands do without.

    return HttpPluginBackend.open(path)


KIND = Kind(
    name="http-plugin",
    summary="An existing HTTP plugin behind the hub, unchanged.",
    open=_open,
    schema=schema,
)

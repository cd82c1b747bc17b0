"""Proxies that the environment names: connections to the hub pass them by, unless told otherwise.

Such variables are set for other traffic. A proxy in between would see what is asked and answered, or refuse it.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appset_hub.settings import Connection

_log = logging.getLogger("appset_hub")

_NAMES = frozenset({"grpc_proxy", "https_proxy", "http_proxy", "all_proxy"})


def proxy_options(connection: Connection) -> list[tuple[str, int | str]]:
    """Return the gRPC options that turn proxies of the environment on or off."""
    return [("grpc.enable_http_proxy", int(connection.proxy_from_environment))]


def say_proxies_ignored(connection: Connection, environment: Mapping[str, str] = os.environ) -> None:
    """Log which variables are ignored, by their names: their values may hold secrets."""
    if connection.hub is None or connection.hub.startswith("unix:") or connection.proxy_from_environment:
        return
    names = sorted(name for name, value in environment.items() if name.lower() in _NAMES and value)
    if names:
        _log.info(
            "connecting to the hub directly: %s %s ignored; to use the proxy, set proxy_from_environment",
            ", ".join(names),
            "is" if len(names) == 1 else "are",
        )

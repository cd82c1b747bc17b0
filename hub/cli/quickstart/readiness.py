"""Whether the parts of a quick start are ready, seen from outside."""

from __future__ import annotations

import json
import socket
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from hub.cli.asking import url_of

if TYPE_CHECKING:
    from hub.core.settings import Address, Listen

_TIMEOUT_S = 2.0


def listens(listen: Listen) -> bool:
    """Whether all three ports of the hub accept connections."""
    return all(_accepts(address) for address in (listen.http, listen.grpc, listen.admin))


def all_ready(admin: Address) -> bool:
    """Whether the hub can ask every backend."""
    try:
        with urllib.request.urlopen(f"{url_of(admin)}/api/backends", timeout=_TIMEOUT_S) as response:  # noqa: S310 - http.
            return all(backend["state"] == "ready" for backend in json.load(response))
    except (OSError, HTTPException, ValueError):
        return False


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection((address.host or "localhost", address.port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True

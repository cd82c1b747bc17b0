"""Whether the parts of a quick start are ready, seen from outside."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.core.settings import Address, Listen

_TIMEOUT_S = 2.0


def listens(listen: Listen) -> bool:
    """Whether all three ports of the hub accept connections."""
    return all(_accepts(address) for address in (listen.http, listen.grpc, listen.admin))


def all_ready(admin: Address) -> bool:
    """Whether the hub can ask every backend."""
    connection = HTTPConnection(_host(admin), admin.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/api/backends")
        return all(backend["state"] == "ready" for backend in json.load(connection.getresponse()))
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection((_host(address), address.port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _host(address: Address) -> str:
    return address.host or "localhost"

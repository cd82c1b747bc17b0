"""Which addresses of backends are names that resolve to others; all the rest is dialled as it is."""

from __future__ import annotations

import ipaddress
import re

import msgspec

# What gRPC takes as a scheme although no "//" follows; the rest of such an address is not a port.
_SCHEMES = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds", "google-c2p"})

_NAME = re.compile(r"(?:dns:(?:///)?)?(?P<host>[A-Za-z0-9_](?:[-A-Za-z0-9._]*[A-Za-z0-9._])?):(?P<port>[0-9]{1,5})")


class HostName(msgspec.Struct, frozen=True, kw_only=True):
    """A name of hosts, and the port on each of them."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def host_name(address: str) -> HostName | None:
    """The name in ``host:port``, ``dns:host:port`` or ``dns:///host:port``.

    ``None`` for a literal address, for the other schemes of gRPC (one with an authority names the DNS server to ask),
    and for what has no port.
    """
    found = _NAME.fullmatch(address)
    if found is None or found["host"].lower() in _SCHEMES or _is_literal(found["host"]):
        return None
    return HostName(host=found["host"], port=int(found["port"]))


def endpoint(ip: str, port: int) -> str:
    """An IP address and a port in one text."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

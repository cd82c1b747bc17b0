"""Addresses as a backend's author writes them: `host:port`, and what was probably meant by anything else."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from appset_hub.errors import InvalidSettings

HUB_PORT = 4356
"""Where a hub listens for backends, unless its configuration says otherwise."""

OTHER_PORTS = {4355: "4355 is the hub's HTTP port for Argo CD", 4357: "4357 is the hub's admin port"}
"""The hub's other default ports, which a backend's author may take for the right one."""

_BACKEND_PORT = 50051
_LARGEST_PORT = 65535
_LONGEST_PORT = 20
_LONGEST_HOST = 253

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?\Z")

_EXPECTED = {
    "hub": "host:port, for example appset-hub:4356",
    "listen": "host:port or :port, for example :50051",
    "address": "host:port, for example images.plugins.svc:50051",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host and a port, or the path of a socket."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str, key: str) -> Endpoint:
        """Return the endpoint that `text` names; `key` is the setting that it comes from.

        Raises:
            InvalidSettings: it names none; the message says what is expected, and what was probably meant.
        """
        expected = _EXPECTED.get(key, "host:port")
        if not isinstance(text, str):
            raise InvalidSettings(f"{key}: expected {expected}, got {text!r}")
        if text.startswith("unix:"):
            return cls(host="", port=0, path=text)
        host, colon, port = text.removeprefix("dns:///").rpartition(":")
        problem = _scheme_problem(text) or _port_problem(port, host if colon else None, key) or _host_problem(host, key)
        if problem:
            raise InvalidSettings(f'{key}: "{text}": {problem}; expected {expected}{_guess(text, key)}')
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))


def _scheme_problem(text: str) -> str:
    found = _SCHEME.match(text)
    if found is None or text.startswith("dns:///"):
        return ""
    tls = " (ca_file turns TLS on)" if found[0].startswith("https") else ""
    return f'an address has no "{found[0]}"{tls}'


def _port_problem(port: str, host: str | None, key: str) -> str:
    if host is None:
        return f'the ":" before port {port} is missing' if port.isdigit() else "the port is missing"
    if not (port.isascii() and port.isdigit()):
        return "the port is missing" if ":" in host or not port else f'"{port}" is not a port'
    lowest = 0 if key == "listen" else 1
    if not lowest <= _number(port) <= _LARGEST_PORT:
        return f"port {port} is not between {lowest} and {_LARGEST_PORT}"
    return ""


def _host_problem(host: str, key: str) -> str:
    if not host:
        return "" if key == "listen" else "the host is missing"
    if host.startswith("[") and host.endswith("]"):
        return "" if _is_ipv6(host[1:-1]) else f"{host} is not an IPv6 address"
    if _is_ipv6(host):
        return "an IPv6 address needs brackets"
    return "" if _HOST.match(host) and _fits_dns(host) else f'"{host}" is not a host name'


def _fits_dns(host: str) -> bool:
    """Whether a resolver can look it up: it has to be ASCII, or to become it by IDNA, with at most 63 in each label."""
    try:
        return len(host.encode("idna").removesuffix(b".")) <= _LONGEST_HOST
    except UnicodeError:
        return False


def _number(digits: str) -> int:
    """Return a port, or a number that is too large for one: Python converts no more than a few thousand digits."""
    return int(digits) if len(digits) <= _LONGEST_PORT else _LARGEST_PORT + 1


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _guess(text: str, key: str) -> str:
    """Return "; did you mean …?", and for a hub what its other ports are for; empty without a good guess."""
    host, port = _likely(text)
    note = ""
    if key == "hub":
        if port in OTHER_PORTS:
            note = f"; {OTHER_PORTS[port]}, backends use {HUB_PORT}"
        port = HUB_PORT if port is None or port in OTHER_PORTS else port
        host = host or "localhost"
    elif port is None:
        port = _BACKEND_PORT
    guess = f"{host}:{port}"
    lowest = 0 if key == "listen" else 1
    if guess == text or not lowest <= port <= _LARGEST_PORT or _host_problem(host, key):
        return note
    return f'{note}; did you mean "{guess}"?'


def _likely(text: str) -> tuple[str, int | None]:
    """Return the host and the port in a web address, an IPv6 address without brackets, or a name alone."""
    plain = re.split(r"[/?#]", _SCHEME.sub("", text.strip(), count=1))[0].rpartition("@")[2]
    if _is_ipv6(plain):
        return f"[{plain}]", None
    host, colon, port = plain.rpartition(":")
    if plain.isascii() and plain.isdigit():
        return "", _number(plain)
    if not colon or plain.endswith("]"):
        return plain, None
    if _is_ipv6(host):
        host = f"[{host}]"
    return host, _number(port) if port.isascii() and port.isdigit() else None

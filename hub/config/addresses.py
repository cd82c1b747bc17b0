"""Addresses to listen on and to connect to, and the store's: whether they can be what they should."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hub.config.suggestions import did_you_mean
from hub.core.settings import Address, Listen

if TYPE_CHECKING:
    from hub.config import file as shape
    from hub.config.places import Findings

_MAX_PORT = 65535
_EXAMPLE = 'expected an address such as ":4355" or "127.0.0.1:4355"'
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9.])?")
_TARGET_HOST = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9._]*[A-Za-z0-9._])?")  # Services of Compose may have a "_".
_USER = re.compile(r"^([A-Za-z][-A-Za-z0-9+.]*:/{2,3})?.*@", re.DOTALL)
_NO_USER = "leave out the user and the password"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):")

MEMORY = "memory:"
SQLITE = "sqlite:"


def listen(written: shape.Listen, findings: Findings) -> Listen:
    """The three ports, each a different one."""
    found = {name: _listen(name, getattr(written, name), findings) for name in ("http", "grpc", "admin")}
    names = list(found)
    for position, name in enumerate(names):
        other = next((one for one in names[:position] if _collide(found[one], found[name])), None)
        if other is not None:
            findings.wrong(
                ("listen", name),
                f"port {found[name].port} is already used by listen.{other}; each needs its own port",
            )
    return Listen(**found)


def _listen(name: str, text: str, findings: Findings) -> Address:
    fault = address_fault(text)
    if fault is None:
        host, _, port = text.rpartition(":")
        return Address(host.removeprefix("[").removesuffix("]"), int(port))
    findings.wrong(("listen", name), f'{_EXAMPLE}, got "{without_user(text)}": {fault}')
    return Address("", 0)


def _collide(one: Address, other: Address) -> bool:
    if one.port == 0 or one.port != other.port:
        return False
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not listened on.
    return (
        one.host == other.host
        or one.host in everywhere
        or other.host in everywhere
        or (one.loopback and other.loopback)
    )


def address_fault(text: str, host_form: re.Pattern[str] = _HOST) -> str | None:
    """What is wrong with ``host:port``."""
    if "://" in text:
        return "leave out the scheme"
    if "@" in text:
        return _NO_USER
    host, colon, port = text.rpartition(":")
    if not colon:
        return f'did you mean ":{text}"?' if text.isascii() and text.isdecimal() else "the port is missing"
    if not (port.isascii() and port.isdecimal()):
        return f'"{port}" is not a port' if port else "the port is missing"
    if len(port) > len(str(_MAX_PORT)) or int(port) > _MAX_PORT:
        return f"a port is at most {_MAX_PORT}"
    return _host_fault(host, host_form)


def _host_fault(host: str, form: re.Pattern[str]) -> str | None:
    if host.startswith("[") and host.endswith("]"):
        return None if _is_ipv6(host[1:-1]) else f'"{host}" is not an IPv6 address'
    if ":" in host:
        return 'an IPv6 address needs brackets, such as "[::1]:4355"'
    return None if not host or form.fullmatch(host) else f'"{host}" is not a host'


def without_user(text: str) -> str:
    """The address without a user and a password, which no message may show."""
    return _USER.sub(r"\1…@", text)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def target_fault(text: str) -> str | None:
    """What is wrong with the address of a backend: ``host:port``, or a gRPC target such as ``dns:///name:port``."""
    if text.startswith(("http://", "https://", "grpc://", "grpcs://")):
        return "leave out the scheme"
    if "@" in text and not text.startswith("unix"):
        return _NO_USER
    if _SCHEME.match(text) and not text.rpartition(":")[2].isdecimal():
        return None
    if not text.strip("/"):
        return "the host is missing"
    if "/" in text or text.startswith(("ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:")):
        return None
    fault = address_fault(text, _TARGET_HOST)
    return "the host is missing" if fault is None and text.startswith(":") else fault


def store_fault(text: str) -> str | None:
    """What is wrong with the store's address; never repeats it, for it may hold a password."""
    if text == MEMORY or (text.startswith(SQLITE) and text.removeprefix(SQLITE)):
        return None
    expected = f'expected "{MEMORY}" or "{SQLITE}PATH"'
    if text == SQLITE:
        return f"{expected}; the path is missing"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return expected + did_you_mean(text[:20] + ":", (MEMORY, SQLITE))
    return f'unknown engine "{scheme[1]}"; {expected}'

"""Addresses that backends register: what they may be, and which ones the configuration's patterns admit.

A pattern compares texts, but gRPC and resolvers take many texts for one address, and some for something other than a
host: ``unix:50051`` is a socket of this machine, ``2130706433`` is 127.0.0.1. So an address is parsed first. What
remains is a host and a port, and only these are compared and connected to.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import msgspec

from hub.core.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_CHARS = 300

_MAX_PORT = 65535
_MAX_NAME_CHARS = 253
_KEPT_PATTERNS = 1024

# What gRPC takes for a scheme, whatever follows.
_SCHEMES = frozenset({"dns", "google-c2p", "ipv4", "ipv6", "passthrough", "unix", "unix-abstract", "vsock", "xds"})

_DNS = re.compile(r"dns:(///)?")
_LABEL = r"[A-Za-z0-9_](?:[-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# Resolvers read such a name as an IPv4 address: in hexadecimal, in octal, or with fewer parts.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_WILDCARD = re.compile(r"[*?\[]")

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")))
_RESERVED = IPv4Network("240.0.0.0/4")
_THIS_HOST = IPv4Network("0.0.0.0/8")
_OF_IPV6 = frozenset(map(IPv6Address, ("::", "::1")))  # Within "::/96", and nevertheless without an IPv4 address.
# Mapped, translated, compatible, NAT64, 6to4 and Teredo: a router may forward them to the IPv4 address inside.
_WITH_IPV4 = tuple(
    map(
        IPv6Network,
        ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
    )
)
_LOOPBACK = "a loopback address"
_NAMED_RANGES = ("127.", "169.254.")  # Patterns that begin so name what they admit.


class AddressFault(Exception):
    """An address that the hub connects to for no backend; the text says why."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A host and a port. ``host`` is lower-case; ``ip`` is the address that it is, if it is one."""

    host: str
    port: int
    ip: IPv4Address | IPv6Address | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if isinstance(self.ip, IPv6Address) else f"{self.host}:{self.port}"

    @property
    def delicate(self) -> str:
        """What it is if a pattern has to name it: the hub's own machine or network; empty for any other."""
        if self.ip is not None:
            return _delicate(self.ip)
        name = self.host.removesuffix(".")
        if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
            return "a loopback name"
        return "the name of a cloud's metadata service" if name in _METADATA_NAMES else ""


def parse(address: str) -> Target:
    """The host and the port in ``host:port`` or ``dns:///host:port``.

    Raises:
        AddressFault: it is anything else.
    """
    if len(address) > MAX_CHARS:
        raise AddressFault(f"it has more than {MAX_CHARS} characters")
    if not (address.isascii() and address.isprintable()):
        raise AddressFault("it has a character that no address has")
    found = _DNS.match(address)
    host, colon, port = address[found.end() if found else 0 :].rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise AddressFault('expected "host:port"')
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], int(port))
    return _named(host, int(port))


def _ipv6(host: str, port: int) -> Target:
    try:
        ip = IPv6Address(host)
    except ValueError as error:
        raise AddressFault("it is not an IPv6 address") from error
    if ip.scope_id is not None:
        raise AddressFault("an IPv6 address with a zone is not supported")
    return Target(host=str(ip), port=port, ip=ip)


def _named(host: str, port: int) -> Target:
    if not _NAME.fullmatch(host) or len(host) > _MAX_NAME_CHARS or host.lower() in _SCHEMES:
        raise AddressFault('expected "host:port"')
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        try:
            return Target(host=host, port=port, ip=IPv4Address(host))
        except ValueError as error:
            raise AddressFault("it is not an IPv4 address of four decimal numbers") from error
    return Target(host=host.lower(), port=port)


def admits(patterns: Iterable[str], target: Target) -> bool:
    """Whether one of the patterns admits a target; a delicate one has to be named."""
    return any(_pattern(pattern).admits(target) for pattern in patterns)


def admits_behind(patterns: Iterable[str], name: Target, endpoint: str) -> bool:
    """Whether the hub may connect to ``endpoint``, to which the name of an admitted target resolves.

    A host that a pattern names, without a wildcard, may be this machine; for anything else delicate, the address itself
    has to be named.
    """
    found = parse(endpoint)
    if not found.delicate:
        return True
    patterns = tuple(patterns)
    if found.delicate == _LOOPBACK and any(_pattern(pattern).names(name) for pattern in patterns):
        return True
    return admits(patterns, found)


class _Pattern:
    """One pattern of addresses: of a host and a port, or of both together if it has no port."""

    def __init__(self, pattern: str) -> None:
        host, colon, port = pattern.lower().rpartition(":")
        if not colon:
            host, port = port, "*"
        host = host.removesuffix(".")
        literal = _literal(host)
        self._host = literal.__eq__ if literal is not None else matcher(host)
        self._port = matcher(port)
        self._names = literal is not None or _WILDCARD.search(host) is None
        self._range = host if host.startswith(_NAMED_RANGES) else ""

    def admits(self, target: Target) -> bool:
        if not self._matches(target):
            return False
        return self._names or not target.delicate or bool(self._range and target.ip is not None)

    def names(self, target: Target) -> bool:
        """Whether this pattern admits the target, and no other host."""
        return self._names and self._matches(target)

    def _matches(self, target: Target) -> bool:
        return self._host(target.host.removesuffix(".")) and self._port(str(target.port))


_pattern = lru_cache(_KEPT_PATTERNS)(_Pattern)


def _literal(host: str) -> str | None:
    """The IPv6 address in brackets, which are no set of characters then."""
    if not (host.startswith("[") and host.endswith("]")):
        return None
    try:
        return str(IPv6Address(host[1:-1]))
    except ValueError:
        return None


def _delicate(ip: IPv4Address | IPv6Address) -> str:
    return next((kind for kind, is_it in _KINDS if is_it(ip)), "")


def _has_ipv4(ip: IPv4Address | IPv6Address) -> bool:
    # Not ``is_loopback``: from Python 3.13 on that looks at the IPv4 address inside.
    return ip not in _OF_IPV6 and any(ip in network for network in _WITH_IPV4)


_KINDS: tuple[tuple[str, Callable[[IPv4Address | IPv6Address], bool]], ...] = (
    ("an IPv4 address inside an IPv6 address", _has_ipv4),
    ("the address of a cloud's metadata service", lambda ip: ip in _METADATA),
    (_LOOPBACK, lambda ip: ip.is_loopback),
    ("a link-local address", lambda ip: ip.is_link_local),
    ("a multicast address", lambda ip: ip.is_multicast),
    ("an address of no single host", lambda ip: ip.is_unspecified or ip in _THIS_HOST or ip in _RESERVED),
)

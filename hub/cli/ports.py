"""Ports to listen on, the setting behind each, and whether they are free."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import msgspec

from hub.core.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hub.core.settings import Settings


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """An address to listen on; ``setting`` is its place in the configuration."""

    address: Address
    setting: str


def ports_of_hub(settings: Settings) -> list[Port]:
    """The three ports of the hub."""
    listen = settings.listen
    return [Port(address=getattr(listen, name), setting=f"listen.{name}") for name in ("http", "grpc", "admin")]


def ports_of_backends(settings: Settings) -> Iterator[Port]:
    """One for each backend that the hub dials."""
    for index, backend in enumerate(settings.backends):
        host, _, port = backend.grant.configured_address.rpartition(":")
        if port.isdecimal():
            yield Port(address=Address(host.strip("[]"), int(port)), setting=f"backends[{index}].address")


def refusals(ports: Iterable[Port], *, where: str, flags: Iterable[str] = (), as_localhost: bool = False) -> list[str]:
    """What stands in the way of listening, a line for each port.

    Args:
        ports: to listen on.
        where: the configuration, for messages.
        flags: settings that a flag overrides.
        as_localhost: also look at what else a client of "localhost" would reach.
    """
    return [
        f"cannot listen on {address}: {reason} ({_origin(port.setting, where, flags)})"
        for port in ports
        for address, reason in _obstacles(port.address, as_localhost=as_localhost)
    ]


def _origin(setting: str, where: str, flags: Iterable[str]) -> str:
    if setting in flags:
        return f"--{setting.removeprefix('listen.')}"
    variable = "HUB_" + setting.replace(".", "_").upper()
    return f"the variable {variable}" if variable in os.environ else f"{setting} in {where}"


def _obstacles(address: Address, *, as_localhost: bool) -> Iterator[tuple[Address, str]]:
    try:
        _bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        yield address, f"port {address.port} is already in use" if taken else error.strerror or str(error)
        return
    # The hub listens on 127.0.0.1. A program that listens on ::1 is what "curl http://localhost" would reach instead.
    if as_localhost and address.host == "127.0.0.1":
        try:
            _bind(Address("::1", address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                yield Address("::1", address.port), f'port {address.port} of "localhost" is already in use'


def _bind(address: Address) -> None:
    """Bind as a server does, and let go.

    Raises:
        OSError: a server could not listen there.
    """
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(place)

"""The settings that a running hub keeps until it is restarted, by their names in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.core.settings import Settings, TlsFiles

# Each with what has to stay equal for a reload to be enough.
_FIXED: dict[str, Callable[[Settings], Any]] = {
    "listen.http": lambda settings: settings.listen.http,
    "listen.grpc": lambda settings: settings.listen.grpc,
    "listen.admin": lambda settings: settings.listen.admin,
    "store": lambda settings: settings.store,
    "limits": lambda settings: settings.limits,
    "proxy_from_environment": lambda settings: settings.proxy_from_environment,
    "drain": lambda settings: settings.drain,
    "log.format": lambda settings: settings.log_format,
    "log.level": lambda settings: settings.log_level,
    "tls.grpc": lambda settings: settings.grpc_tls is not None,
    # The gRPC port takes another CA, but whether it requires certificates at all is decided at its start.
    "tls.grpc.client_ca": lambda settings: bool(_client_ca(settings.grpc_tls)),
}


def needs_restart(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """The settings whose new values are not in force, because a running hub cannot take them."""
    return tuple(name for name, value in _FIXED.items() if value(running) != value(wanted))


def _client_ca(files: TlsFiles | None) -> str:
    return "" if files is None else files.client_ca

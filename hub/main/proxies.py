"""The variables of the environment that name a proxy. Their values may hold secrets, so only their names leave here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset({"grpc_proxy", "https_proxy", "http_proxy", "all_proxy"})


def proxy_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those that are set, as they are written."""
    return tuple(sorted(name for name, value in environment.items() if name.lower() in _NAMES and value))

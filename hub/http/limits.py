"""How long and how many connections of the port for Argo CD may be."""

from __future__ import annotations

import msgspec


class PortLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one port: bytes of a request's head and body, and how long and how many connections may be.

    A head has ``head_timeout_s`` from its first byte, or from the connection's beginning; an answer is read within
    ``write_timeout_s``; between requests a connection lasts ``keepalive_s``. What is left of a refused request is read
    and dropped for ``linger_s``, so that the caller sees the answer. A caller that sends no more, and may have gone, is
    answered within ``half_closed_s``. There are at most ``connections``, ``idle_connections`` of them between requests,
    and ``connections_per_peer`` from one address. Those who are refused ask again ``refusals_per_s`` times in a second,
    all together. What callers have not read of their answers is at most ``unread_bytes``, ``None`` for any number.
    """

    max_head_bytes: int = 16 * 1024
    max_body_bytes: int = 1024 * 1024
    head_timeout_s: float = 10.0
    write_timeout_s: float = 30.0
    keepalive_s: float = 120.0
    linger_s: float = 5.0
    half_closed_s: float = 1.0
    connections: int = 8192
    idle_connections: int = 4096
    connections_per_peer: int = 4096
    refusals_per_s: int = 500
    unread_bytes: int | None = None

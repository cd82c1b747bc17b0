"""gRPC channel arguments that both directions share.

Source of the names: grpc/impl/channel_arg_names.h.
"""

from __future__ import annotations

_PING_EVERY_MS = 10_000
_PING_TIMEOUT_MS = 5_000

_ENVELOPE_BYTES = 64 * 1024  # What surrounds an answer in its message: digest, notices, lengths.

Options = list[tuple[str, int]]


def keepalive() -> Options:
    """Ping idle connections, so that a peer that is gone without a word is noticed within 15 s; peers may do so too."""
    return [
        ("grpc.keepalive_time_ms", _PING_EVERY_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
    ]


def message_sizes(max_answer_bytes: int) -> Options:
    """Room for the largest answer that the hub accepts; what is larger ends the call."""
    return [
        ("grpc.max_receive_message_length", max_answer_bytes + _ENVELOPE_BYTES),
        ("grpc.max_send_message_length", -1),
    ]

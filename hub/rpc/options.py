"""gRPC channel arguments that both directions share, and what holds for the whole process.

Source of the names: grpc/impl/channel_arg_names.h, and src/core/lib/experiments/experiments.yaml for the experiments.
"""

from __future__ import annotations

import os

# Without them gRPC's own thread that hands over what has come also reads it from the socket: one wake-up less for each
# message. Measured on two cores: 0.84 of the latency of one question, 0.9 of the processor time of many.
_EXPERIMENTS = "-event_engine_client,-event_engine_listener"

_PING_EVERY_MS = 10_000
_PING_TIMEOUT_MS = 5_000
_HANDSHAKE_MS = 10_000
_STREAMS_OF_CONNECTION = 100  # A backend needs one for each of its instances in a process, and one for a renewal.
_SELDOM_MS = 300_000  # What gRPC servers take without being told; more often, and they end the connection.

# A larger message ends the stream, and with it every other question on it. So what gRPC reads is far above what the hub
# accepts: the check inside refuses one answer only, and can name its size.
_READABLE_TIMES = 4
_ENVELOPE_BYTES = 4 * 1024 * 1024  # What surrounds an answer in its message; and a batch of small ones.

Options = list[tuple[str, int]]


def choose_engine() -> None:
    """Choose how gRPC reads its sockets and what it logs, before it is imported; variables that are set stay.

    What its C core logs is for its developers, and has text that peers choose.
    """
    os.environ.setdefault("GRPC_EXPERIMENTS", _EXPERIMENTS)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def keepalive() -> Options:
    """For the hub's port: ping attached backends, so that one that is gone without a word is noticed within 15 s.

    They may ping the hub as well.
    """
    return [
        ("grpc.keepalive_time_ms", _PING_EVERY_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        # A frozen process's kernel goes on acknowledging; without this gRPC waits a minute for the answer to a ping.
        ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
    ]


def strangers() -> Options:
    """For the hub's port: what someone without credentials may use of it."""
    return [
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_concurrent_streams", _STREAMS_OF_CONNECTION),
    ]


def seldom_pings() -> Options:
    """For channels to any generated server, with its defaults: no ping without a call, and hardly one with it.

    What is sent has to be confirmed within the timeout all the same (``TCP_USER_TIMEOUT``), so that a question to a
    backend that is gone without a word ends soon.
    """
    return [("grpc.keepalive_time_ms", _SELDOM_MS), ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS)]


def proxies(*, from_environment: bool) -> Options:
    """Whether channels go through the proxy that ``grpc_proxy``, ``https_proxy`` or ``http_proxy`` names."""
    return [("grpc.enable_http_proxy", int(from_environment))]


def message_sizes(max_answer_bytes: int) -> Options:
    """Room for answers that the hub accepts, and to refuse larger ones; what is larger still ends the call."""
    return [
        ("grpc.max_receive_message_length", _READABLE_TIMES * max_answer_bytes + _ENVELOPE_BYTES),
        ("grpc.max_send_message_length", -1),
    ]

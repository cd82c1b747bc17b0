"""A freeze: while it lasts, an answer that differs from the last accepted one is refused.

For emergencies. It does not judge an answer; it only says what is frozen, and what a caller reads.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from hub.core.routes import CLAIMED

MAX_REASON_CHARS = 160  # Together with the rest of the message it has to fit into a refusal.

_MAX_COMPARED_BYTES = 2 * 1024 * 1024  # Of one answer; reading a larger one would keep other requests waiting.

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen, why, by whom, and since when (Unix seconds).

    An empty ``route`` is all of them. An empty ``reason`` is one that the store could not give back.
    """

    route: str
    reason: str
    by: str
    since_s: float


class _Output(msgspec.Struct):
    parameters: list[dict[str, Any]]


class _Document(msgspec.Struct):
    output: _Output


_decode = msgspec.json.Decoder(_Document).decode


def refusal(freeze: Freeze, route: str, *, differs: bool) -> str:
    """What a caller reads; ``differs``: from an answer that was accepted, otherwise there is none to compare with."""
    what = (
        "this answer differs from the last accepted one"
        if differs
        else "there is no accepted answer to compare this one with"
    )
    why = f" Reason: {freeze.reason}." if freeze.reason else ""
    return (
        f'route "{route}" is frozen, and {what}; Applications are left unchanged.{why} To lift the freeze, run: '
        f"{lifting(freeze.route)}"
    )


def lifting(route: str) -> str:
    """The command that lifts a freeze."""
    if not route:
        return "appset-hub unfreeze"
    return "appset-hub unfreeze --claims" if route == CLAIMED else f"appset-hub unfreeze --route {route}"


def same_sets(before: bytes, after: bytes) -> bool:
    """Whether two answers, as Argo CD reads them, have the same parameter sets, in whatever order.

    Of very large ones only the bytes are compared: they count as different sooner than others.
    """
    if before == after:
        return True
    if max(len(before), len(after)) > _MAX_COMPARED_BYTES:
        return False
    return _counted(before) == _counted(after)


def _counted(body: bytes) -> Counter[bytes]:
    return Counter(map(_encode_sorted, _decode(body).output.parameters))

"""Durations as people write them: ``500ms``, ``25s``, ``1m30s``."""

from __future__ import annotations

import re

MAX_S = 3650 * 86400.0  # Ten years: beyond any deadline, and within what every timer can count.

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9.]+)(ms|[smhd])")


def seconds(text: str) -> float:
    """A duration in seconds."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))

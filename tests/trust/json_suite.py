"""The files of JSONTestSuite, each with the text that a decoder reads and what it has to say of it.

They are in ``data/json_suite.jsonl``, one a line: its name, and its bytes compressed and in base64. The licence is
beside it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data" / "json_suite.jsonl"

DUPLICATE_KEYS = ("y_object_duplicated_key", "y_object_duplicated_key_and_value")
"""JSON, but which of the values is meant? The hub refuses them where they would reach Argo CD."""


@dataclass(frozen=True, slots=True)
class Case:
    """One file. Its name begins with ``y`` (is JSON), ``n`` (is not) or ``i`` (decoders may differ)."""

    name: str
    text: bytes

    @property
    def is_json(self) -> bool:
        return self.name.startswith("y_")

    @property
    def is_broken(self) -> bool:
        return self.name.startswith("n_")

    @property
    def value(self) -> Any:
        """What Python's own decoder reads; raises ``ValueError`` for what it does not read."""
        return json.loads(self.text.decode())


def _cases() -> tuple[Case, ...]:
    lines = (json.loads(line) for line in _DATA.read_text().splitlines())
    return tuple(Case(name, zlib.decompress(base64.b64decode(packed))) for name, packed in lines)


CASES = _cases()

"""The process that reads a configuration for a hub that runs, so that no file can stop or crash it.

Standard input says which one (``Order``, as JSON), the environment is that of the hub, and standard output takes the
parts of the outcome, each after its length.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from hub.config.load import Report, Source, attempt
from hub.config.mistakes import limited
from hub.config.transfer import LENGTH_BYTES, packed


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Source``, as JSON can hold it."""

    path: str | None
    flags: dict[str, str]
    dev: bool

    @property
    def source(self) -> Source:
        """Where the configuration comes from."""
        return Source(path=None if self.path is None else Path(self.path), flags=self.flags, dev=self.dev)


def order(source: Source) -> bytes:
    """What to write to the process."""
    path = None if source.path is None else str(source.path)
    return msgspec.json.encode(Order(path=path, flags=dict(source.flags), dev=source.dev))


def write(report: Report, out: BinaryIO) -> None:
    """Write a report."""
    parts = packed(report, limited([str(mistake) for mistake in report.errors]))
    out.writelines(len(part).to_bytes(LENGTH_BYTES, "big") + part for part in parts)
    out.flush()


if __name__ == "__main__":
    write(attempt(msgspec.json.decode(sys.stdin.buffer.read(), type=Order).source), sys.stdout.buffer)

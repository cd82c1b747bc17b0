"""Reads the configuration in a process of its own, so that no file stops the loop or crashes the hub.

Started with ``subprocess`` rather than by the loop: that takes ``vfork``, which neither copies this process nor calls
gRPC's handlers of ``fork``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from hub.config.transfer import LENGTH_BYTES, NotTransferred, Outcome, Unpacking
from hub.config.worker import order

if TYPE_CHECKING:
    from hub.config.load import Source

_WITHIN_S = 60.0
_SAID_CHARS = 500


class CannotFindOut(Exception):
    """Whether the configuration is good is not known; it is worth another try. The text says why."""


async def read(source: Source) -> Outcome:
    """What a configuration is now.

    Raises:
        CannotFindOut: the process could not be started, or ended before it said anything.
    """
    reading = _Reading()
    try:
        out, said, code = await asyncio.to_thread(reading.run, order(source))
    except OSError as error:
        raise CannotFindOut(f"cannot start the process that reads the configuration: {error.strerror}") from error
    except RuntimeError as error:
        raise CannotFindOut(f"cannot start a thread: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotFindOut(f"the configuration could not be read within {_WITHIN_S:g} s") from error
    finally:
        reading.stop()
    try:
        return await _outcome(out)
    except NotTransferred as error:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:_SAID_CHARS]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise CannotFindOut(f"the process that reads the configuration ended with {how}: {last or error}") from error


class _Reading:
    """One process; ``run`` is for a thread, ``stop`` for the loop."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, written: bytes) -> tuple[bytes, bytes, int]:
        """What it writes and what it says, and its exit code."""
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "hub.config.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        ) as process:
            self._process = process
            try:
                if self._stopped:
                    process.kill()
                out, said = process.communicate(written, timeout=_WITHIN_S)
            except BaseException:
                process.kill()
                raise
        return out, said, process.returncode

    def stop(self) -> None:
        """End it, if it still runs; the thread then ends too."""
        self._stopped = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


async def _outcome(out: bytes) -> Outcome:
    unpacking, start = Unpacking(), 0
    while length := int.from_bytes(out[start : start + LENGTH_BYTES], "big"):
        start += LENGTH_BYTES
        unpacking.take(out[start : start + length])
        start += length
        await asyncio.sleep(0)  # Requests first.
    return unpacking.outcome()

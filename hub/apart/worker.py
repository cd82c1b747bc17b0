"""The process that works for a hub: reads functions from its standard input, and writes what they return.

Both are the same socket. Each way, a message is pickled and follows its length. The process ends when the hub does,
because then its input ends.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import sys
from typing import BinaryIO

# Here rather than with the first function that needs it.
import hub.core.combine  # noqa: F401
from hub.apart.outcome import LENGTH_BYTES, READY, Outcome

_NICENESS = 5  # The loop first, where there are too few processors for both.
_KIB = 1024


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Say that there is a process, and run what comes until nothing more does."""
    outgoing.write(READY)
    outgoing.flush()
    while len(head := incoming.read(LENGTH_BYTES)) == LENGTH_BYTES:
        written = _outcome_of(incoming.read(int.from_bytes(head, "big")))
        outgoing.write(len(written).to_bytes(LENGTH_BYTES, "big"))
        outgoing.write(written)
        outgoing.flush()


def _outcome_of(message: bytes) -> bytes:
    try:
        value = pickle.loads(message)()  # noqa: S301 - only the hub has the other end.
        del message
        return pickle.dumps(Outcome(value, None, _peak_bytes()), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's.
        error.__cause__ = error.__context__ = None
        return pickle.dumps(Outcome(None, error.with_traceback(None), _peak_bytes()), pickle.HIGHEST_PROTOCOL)


def _peak_bytes() -> int:
    """The most memory that this program has used; ``getrusage`` would count that of the hub, which started it."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - read for each function.
        return next(int(line.split()[1]) * _KIB for line in status if line.startswith("VmHWM:"))


def main(memory_bytes: int) -> None:
    """Work for the process at the other end of standard input, with at most so much memory; 0: without a limit."""
    gc.disable()  # What functions leave behind has no cycles, and looking for some takes a third of the time.
    os.nice(_NICENESS)
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with open(0, "rb", closefd=False) as incoming, open(0, "wb", closefd=False) as outgoing:
        serve(incoming, outgoing)


if __name__ == "__main__":
    main(int(sys.argv[1]))

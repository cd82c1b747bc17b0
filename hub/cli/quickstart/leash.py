"""Runs a command that is killed when its parent ends, even if the parent was killed: ``leash.py PARENT COMMAND…``.

PARENT is the parent's process id. Only Linux can do this; elsewhere the command just runs. A script: it imports nothing
of the hub, so that it starts at once.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent has ended already")
    os.execv(command[0], command)  # noqa: S606 - a fixed command, and no shell.


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

"""Starts ``appset-hub``, and ends quietly when Ctrl-C comes before its modules are loaded."""

import sys

_INTERRUPTED = 130


def run() -> None:
    """The entry point of the command."""
    try:
        from hub.cli import main  # noqa: PLC0415 - loading takes long enough to be interrupted.
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    main()


if __name__ == "__main__":
    run()

"""An HTTP plugin that gives prepared replies in turn, the last one for ever: ``fixed_plugin.py PORT FILE``."""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def main() -> None:
    """Serve until ended; one connection serves one question."""
    replies = Path(sys.argv[2]).read_text().split("\0")
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                if _read(connection):
                    connection.sendall(replies[0].encode())
                    replies = replies[1:] or replies


def _read(connection: socket.socket) -> bool:
    """A whole request; whether there was one."""
    received = b""
    while b"\r\n\r\n" not in received and (data := connection.recv(65536)):
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (data := connection.recv(65536)):
        body += data
    return bool(head)


if __name__ == "__main__":
    main()

"""What may answer instead of a hub: a socket that replies with given bytes, or not at all."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


def response(body: bytes, *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


class Peer:
    """Listens on loopback. Each connection gets ``reply`` after its request, and is closed unless ``hangs``.

    ``hasty`` replies to whatever comes first, such as a TLS handshake.
    """

    def __init__(
        self,
        reply: bytes = b"",
        *,
        hangs: bool = False,
        hasty: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._reply = reply
        self._hangs = hangs
        self._hasty = hasty
        self._tls = tls
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.heads: list[str] = []
        self.asked = threading.Event()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # Wakes the thread, which accepts no more.
        with suppress(OSError):
            socket.create_connection(self._socket.getsockname()[:2], 1).close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._ended.is_set():
                    return
                connection.settimeout(20)
                with suppress(OSError):
                    self._answer(connection)

    def _answer(self, plain: socket.socket) -> None:
        stream = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
        with stream:
            self.heads.append(self._head(stream).decode("latin-1"))
            self.asked.set()
            stream.sendall(self._reply)
            while self._hangs and stream.recv(65536):
                pass  # Until the caller hangs up.

    def _head(self, stream: socket.socket) -> bytes:
        """Read a whole request; a socket that is closed with its body unread resets the connection."""
        received = b""
        while b"\r\n\r\n" not in received and (data := stream.recv(65536)):
            received += data
            if self._hasty:
                return received
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0 and (data := stream.recv(65536)):
            missing -= len(data)
        return head

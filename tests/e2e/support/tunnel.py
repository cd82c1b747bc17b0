"""A way through TCP that can turn into a black hole: it accepts, and then nothing arrives."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Tunnel:
    """Forwards connections on loopback to a port, until ``swallow``; connections after ``heal`` get through again."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._hole = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def swallow(self) -> None:
        """From now on nothing gets through, in either direction; nobody is told."""
        self._hole.set()

    def heal(self) -> None:
        """Let new connections through. Those of before stay as they are."""
        self._hole = threading.Event()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._close(self._listener)
        for one in self._sockets:
            self._close(one)
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]  # always callable.
        self._threads.append(thread)
        thread.start()

    def _close(self, one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    self._close(near)
                    continue
                self._sockets.append(far)
                for source, sink in ((near, far), (far, near)):
                    self._start(self._pump, source, sink, self._hole)

    def _pump(self, source: socket.socket, sink: socket.socket, hole: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if hole.is_set():
                    return
                sink.sendall(data)
        # However it ended. But a hole passes on no end either.
        if not hole.is_set():
            self._close(sink)

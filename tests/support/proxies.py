"""A proxy that tunnels, as `http_proxy` names one: real sockets, and a list of what was asked for."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_PATIENCE_S = 10


class Proxy:
    """Listens on loopback. ``asked`` has the first line of each connection: it stays empty while nobody comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked: list[str] = []
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of somebody whose traffic goes through this proxy; their values hold a password."""
        url = f"http://ann:hunter2@127.0.0.1:{self.port}"
        names = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY")
        return {**dict.fromkeys(names, url), **dict.fromkeys(("no_proxy", "NO_PROXY", "no_grpc_proxy"), "")}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(_PATIENCE_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._open.append(client)
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(4096)
                if not part:
                    return
                head += part
            line = head.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            host, _, port = line.split(" ")[1].rpartition(":")
            server = socket.create_connection((host, int(port)), _PATIENCE_S)
            server.settimeout(None)
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_carry, args=(server, client), daemon=True).start()
            _carry(client, server)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)

"""HTTP as Argo CD speaks it, and as nobody should."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

GETPARAMS = "/api/v1/getparams.execute"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The parameter sets of a 200."""
        assert self.status == 200, self
        document = self.json
        assert list(document) == ["output"], self
        assert list(document["output"]) == ["parameters"], self
        sets: list[dict[str, Any]] = document["output"]["parameters"]
        return sets

    @property
    def message(self) -> str:
        """The message of a refusal."""
        assert self.status >= 400, self
        message = self.json["message"]
        assert isinstance(message, str)
        return message

    def refuses(self, status: int, reason: str, *words: str) -> None:
        """Check that this is the refusal that the contract describes, and says these words."""
        assert self.status == status, self
        assert self.headers["content-type"] == "application/json", self
        assert self.headers["content-length"] == str(len(self.body)), self
        assert self.headers["x-request-id"], self
        assert len(self.body) <= 512, self
        assert self.json.keys() == {"message", "error"}, self
        assert self.json["error"] == reason, self
        assert self.message, self
        for word in words:
            assert word in self.message, self


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        if tls is None:
            self._http = http.client.HTTPConnection("localhost", port, timeout=TIMEOUT_S)
        else:
            self._http = http.client.HTTPSConnection("localhost", port, timeout=TIMEOUT_S, context=tls)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        self._http.request(method, path, body, dict(headers or {}))
        response = self._http.getresponse()
        lowered = {key.lower(): value for key, value in response.getheaders()}
        return Reply(response.status, lowered, response.read())

    def ask(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, token: str | None, route: str = ""
    ) -> Reply:
        """Ask as Argo CD does."""
        body = {"applicationSetName": name, "input": {} if parameters is None else {"parameters": parameters}}
        path = f"/{route}{GETPARAMS}" if route else GETPARAMS
        return self.send("POST", path, json.dumps(body).encode(), argo_headers(token))

    def close(self) -> None:
        self._http.close()


def argo_headers(token: str | None) -> dict[str, str]:
    """The headers that Argo CD sends."""
    headers = {"User-Agent": "argocd-applicationset", "Accept-Encoding": "gzip", "Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def once(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One GET on a connection of its own."""
    connection = Connection(port, tls=tls)
    try:
        return connection.send("GET", path, headers=headers)
    finally:
        connection.close()


def exchange(port: int, *pieces: bytes, replies: int = 1, then_closed: bool = False) -> list[Reply]:
    """Send bytes as they are on one connection, and read so many replies to each piece before the next is sent.

    A server may answer and close before it has read everything, so what is left to send then is dropped.
    ``then_closed`` checks that it hangs up after the last reply.
    """
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as raw, raw.makefile("rb") as stream:
        for piece in pieces:
            with suppress(BrokenPipeError, ConnectionResetError):
                raw.sendall(piece)
            found += [_reply(stream) for _ in range(replies)]
        assert not then_closed or stream.read() == b""
    return found


def _reply(stream: Any) -> Reply:
    line = stream.readline()
    assert line.startswith(b"HTTP/1."), line
    headers = {key.lower(): value for key, value in http.client.parse_headers(stream).items()}
    return Reply(int(line.split()[1]), headers, stream.read(int(headers["content-length"])))


def request(
    body: bytes = b"",
    *,
    token: str = "argocd-token",
    method: str = "POST",
    path: str = GETPARAMS,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a request; ``headers`` replace those of the same name, and an empty value leaves one out."""
    all_headers = {
        "Host": "hub",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in all_headers.items() if value), "", ""]
    return "\r\n".join(lines).encode("utf-8") + body

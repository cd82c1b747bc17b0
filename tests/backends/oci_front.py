"""What stands before a registry in the tests of `oci`: a proxy that pages, changes and fails, and a token server."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Change = Callable[[web.BaseRequest, web.Response], Awaitable[web.StreamResponse]]

USER, PASSWORD = "puller", "s3cret"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@contextlib.asynccontextmanager
async def serving(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """Let `handle` answer every request to a free port inside the block; yield the port."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Front:
    """A proxy before the registry at `upstream`. `change` turns each of the registry's responses into what is sent."""

    def __init__(self, upstream: str, change: Change | None = None) -> None:
        self._upstream = upstream
        self._change = change
        self.requests: list[web.BaseRequest] = []
        self.now = 0
        self.most = 0
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        async with aiohttp.ClientSession(auto_decompress=False) as self._session, serving(self._handle) as port:
            self.url = f"http://localhost:{port}"
            yield

    def seen(self) -> list[str]:
        """Return the requests' methods and paths."""
        return [f"{request.method} {request.path_qs}" for request in self.requests]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._forward(request)
        finally:
            self.now -= 1

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key not in {"Host", "Accept-Encoding"}}
        url = self._upstream + request.path_qs
        async with self._session.request(request.method, url, headers=headers, allow_redirects=False) as reply:
            body = await reply.read()
            kept = {"Content-Type", "Docker-Content-Digest", "Etag", "Www-Authenticate", "Location", "Link"}
            sent = {key: value for key, value in reply.headers.items() if key.title() in kept}
            response = web.Response(status=reply.status, body=body or None, headers=sent)
        return response if self._change is None else await self._change(request, response)


def paged(size: int) -> Change:
    """Return a change that gives lists of tags in pages, as registries with many tags do."""

    async def change(request: web.BaseRequest, response: web.Response) -> web.Response:
        if not request.path.endswith("/tags/list") or response.status != 200:
            return response
        assert isinstance(response.body, bytes)
        answer = json.loads(response.body)
        rest = [tag for tag in sorted(answer["tags"]) if tag > request.query.get("last", "")]
        page = rest[:size]
        link = {"Link": f'<{request.path}?last={page[-1]}&n={size}>; rel="next"'} if rest[size:] else {}
        return web.json_response({**answer, "tags": page}, headers=link)

    return change


class TokenServer:
    """Gives the one user tokens that a docker-registry believes (the Docker token flow), for whatever he asks.

    `requests` are those that it saw. A token lasts for `life_s`.
    """

    service = "the registry"

    def __init__(self, folder: Path, *, life_s: int = 300) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.RSA)
        leaf = authority.issue_cert("token-server", key_type=trustme.KeyType.RSA)
        self._bundle = folder / "token-authority.pem"
        authority.cert_pem.write_to_path(self._bundle)
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        lines = leaf.cert_chain_pems[0].bytes().decode().strip().splitlines()
        self._certificate = "".join(lines[1:-1])
        self._life_s = life_s
        self.requests: list[web.BaseRequest] = []
        self.realm = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        async with serving(self._handle) as port:
            self.realm = f"http://localhost:{port}/token"
            yield

    def auth(self) -> dict[str, Any]:
        """Return the `auth` of a registry's configuration that believes this server."""
        believed = {"issuer": "the issuer", "rootcertbundle": str(self._bundle)}
        return {"token": {"realm": self.realm, "service": self.service, **believed}}

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if request.headers.get("Authorization") != BASIC:
            return web.json_response({"errors": []}, status=401)
        return web.json_response({"token": self._token(request.query["scope"]), "expires_in": self._life_s})

    def _token(self, scope: str) -> str:
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {
            "iss": "the issuer",
            "aud": self.service,
            "sub": USER,
            "iat": now,
            "nbf": now - 5,
            "exp": now + self._life_s,
            "jti": "1",
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _base64(signature)).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")

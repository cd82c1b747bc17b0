"""Plugins for the tests of `http-plugin`: one that says whatever it is told to, and the documentation's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from appset_hub import Backend, ParameterSets, Question, check_parameters
from appset_hub.testing import FakeHub, harness

from backends.http_plugin.backend import HttpPluginBackend

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

TOKEN = "strong-password"

_PAGE_OF_ARGO_CD = "docs/operator-manual/applicationset/Generators-Plugin.md"


@dataclass
class RawPlugin:
    """Sends `response` byte for byte to whoever asks, and closes; without one it stays silent."""

    response: bytes | None = b""
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @contextlib.asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Listen on a free port inside the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            self.requests.append(head + body)
            self.asked.set()
            if self.response is None:
                # Until the caller hangs up.
                await reader.read()
                self.left.set()
            else:
                writer.write(self.response)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def ok(body: bytes, *headers: str) -> bytes:
    """Return a response with status 200 and a length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def configure(folder: Path, base_url: str, more: str = "", token: str = TOKEN) -> Path:
    """Write a configuration for the plugin at `base_url`."""
    (folder / "token").write_text(f"{token}\n")
    path = folder / "http-plugin.yaml"
    path.write_text(f'base_url: "{base_url}"\ntoken_file: token\n{more}')
    return path


@contextlib.asynccontextmanager
async def attached(path: Path) -> AsyncIterator[FakeHub]:
    """Run the backend of the configuration at `path`, attached to a hub."""
    async with opened(path) as plugin:
        backend = Backend(function=plugin.answer, name="http-plugin", application_sets=plugin.application_sets)
        async with harness(backend) as hub:
            yield hub


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[HttpPluginBackend]:
    """Yield the backend of the configuration at `path`, and close it."""
    plugin = HttpPluginBackend.open(path)
    try:
        yield plugin
    finally:
        await plugin.close()


async def sets_of(plugin: HttpPluginBackend) -> ParameterSets:
    """Return what the backend answers, after the SDK's own check."""
    answer = await plugin.answer(Question(application_set_name="set"))
    check_parameters(answer.parameters)
    return answer.parameters


def documentation() -> str:
    """Return Argo CD's page about the plugin generator, wherever this machine has it; skip the test without one."""
    named = os.environ.get("ARGOCD_PLUGIN_PAGE")
    modules = Path(os.environ.get("GOMODCACHE", Path.home() / "go" / "pkg" / "mod"))
    places = [
        *([Path(named)] if named else []),
        *sorted(modules.glob(f"github.com/argoproj/argo-cd/v*/{_PAGE_OF_ARGO_CD}")),
    ]
    page = next((place for place in places if place.is_file()), None)
    if page is None:
        pytest.skip("Argo CD's documentation is not here; name its page Generators-Plugin.md in ARGOCD_PLUGIN_PAGE")
    return page.read_text()


@contextlib.asynccontextmanager
async def sample(page: str, folder: Path) -> AsyncIterator[str]:
    """Run the page's own sample plugin inside the block; yield its base URL.

    It runs as it stands but for its port, the place of its token, and a line that tells the port.
    """
    found = re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found is not None, "the page has no Python program"
    program = found[1]
    token = folder / "sample-token"
    token.write_text(f"{TOKEN}\n")
    for old, new in (
        ("('', 4355)", "('127.0.0.1', 0)"),
        ("/var/run/argo/token", str(token)),
        ("httpd.serve_forever()", "print(httpd.server_port, flush=True); httpd.serve_forever()"),
    ):
        assert program.count(old) == 1, "the program on the page has changed"
        program = program.replace(old, new)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def command(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `appset-hub-backend` inside the block."""
    program = ["-c", "from backends.cli import main; main()"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

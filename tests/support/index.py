"""A package index on loopback: it serves the files that it is given, and remembers what was looked up."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Index:
    """The simple API of an index over the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.looked_up: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a pip that knows this index and nothing else."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "HUB", "PYTHON"))}
        return {**own, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.url, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def page(self, project: str) -> str | None:
        """The page of a project, or ``None``."""
        self.looked_up.append(project)
        names = [file.name for file in self.folder.iterdir() if _project(file.name) == project]
        links = "".join(f'<a href="/files/{html.escape(name)}">{html.escape(name)}</a>' for name in names)
        return f"<!DOCTYPE html><html><body>{links}</body></html>" if names else None


def _project(file: str) -> str:
    return re.sub(r"[-_.]+", "-", file.partition("-")[0]).lower()


@contextmanager
def serving(folder: Path) -> Iterator[Index]:
    """Serve the files of a folder."""
    index = Index(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, name = self.path.strip("/").partition("/")
            page = index.page(name) if kind == "simple" else None
            file = folder / name if kind == "files" else None
            body = page.encode() if page is not None else file.read_bytes() if file is not None else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html" if page is not None else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def add_wheel(folder: Path, distribution: str, version: str, modules: dict[str, str]) -> Path:
    """Write a wheel with these modules into the folder."""
    name = f"{distribution.replace('-', '_')}-{version}"
    content = {path: text.encode() for path, text in modules.items()}
    content[f"{name}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nProvides-Extra: health\n".encode()
    )
    content[f"{name}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in content.items()]
    content[f"{name}.dist-info/RECORD"] = "\n".join([*rows, f"{name}.dist-info/RECORD,,", ""]).encode()
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

"""A package index on loopback (PEP 503), and the small wheels that it offers."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

NEWER = "9999.0"
"""A version that no package has."""


def wheel(name: str, version: str, *, requires: str | None = None) -> dict[str, bytes]:
    """A wheel with one empty module, by its file's name."""
    module, folder = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{module}.py": "",
        f"{folder}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{folder}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{folder}/RECORD"))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return {f"{module}-{version}-py3-none-any.whl": written.getvalue()}


def pin(files: Mapping[str, bytes]) -> str:
    """The lines of a lock that pin these wheels."""
    return "".join(
        f"{project(file)}=={file.split('-')[1]} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
        for file, content in files.items()
    )


def project(file: str) -> str:
    """The normalized name of the project that a file is of."""
    return re.sub(r"[-_.]+", "-", file.split("-", maxsplit=1)[0]).lower()


class Index:
    """The files that are served, and how: all of it may change while it runs."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.status = 200
        self.silent = threading.Event()
        """Set: files are begun, and finished only when they are released."""
        self.released = threading.Event()
        self.asked = threading.Event()
        """Set once a file was begun."""
        self.url = ""

    def offer_newer(self) -> None:
        """Add a newer version of every project."""
        for name in {project(file) for file in self.files}:
            self.files |= wheel(name, NEWER)

    def page(self, name: str) -> bytes | None:
        """The page of a project, with a link to each file."""
        links = [
            f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a><br>'
            for file, content in self.files.items()
            if project(file) == name
        ]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if links else None


@contextmanager
def served(index: Index, tls: ssl.SSLContext | None = None) -> Iterator[Index]:
    """Serve it inside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, folder, name, *_ = f"{self.path}/".split("/")
            is_page = folder == "simple"
            content = index.page(name) if is_page else index.files.get(name)
            status = 404 if content is None and index.status == 200 else index.status
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if is_page else "application/octet-stream")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if not is_page and index.silent.is_set():
                index.asked.set()
                index.released.wait()
            if content is not None:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    index.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/simple"
    try:
        yield index
    finally:
        index.released.set()
        server.shutdown()
        thread.join()
        server.server_close()

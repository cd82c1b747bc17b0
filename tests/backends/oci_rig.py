"""A real registry (Debian's docker-registry), images pushed into it by skopeo, and the backend in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from appset_hub import Backend
from appset_hub.testing import FakeHub, harness

from backends.oci.backend import OciBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

OCI = "application/vnd.oci.image"
REPOSITORIES = ("team/front", "team/back")


def need_tools() -> None:
    """Skip the tests where the tools are not installed; in CI, fail."""
    absent = [tool for tool in ("docker-registry", "skopeo") if shutil.which(tool) is None]
    if not absent:
        return
    reason = f"{' and '.join(absent)} not installed: apt-get install {' '.join(absent)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Registry:
    """A registry that runs."""

    process: asyncio.subprocess.Process
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.scheme}://localhost:{self.port}"

    async def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        await self.process.wait()

    async def push(self, layout: Path, name: str, *, user: str | None = None) -> str:
        """Push the image, or index, of the layout as `repository:tag`; return its digest."""
        options = ["--dest-creds", user] if user else ["--dest-no-creds"]
        target = f"docker://localhost:{self.port}/{name}"
        command = [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            *options,
        ]
        process = await asyncio.create_subprocess_exec(
            *command, f"oci:{layout}:image", target, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, auth: Mapping[str, Any] | None = None, tls: tuple[Path, Path] | None = None
) -> AsyncIterator[Registry]:
    """Run a registry on a free port, with its images in `folder`; `tls` is certificate and key."""
    http: dict[str, Any] = {"addr": "127.0.0.1:0", "secret": "no matter"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    configuration = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": True}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }
    # JSON is YAML, too.
    file = folder / "registry.yml"
    file.write_text(json.dumps(configuration))
    process = await asyncio.create_subprocess_exec(
        "docker-registry", "serve", str(file), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    draining: asyncio.Task[bytes] | None = None
    try:
        assert process.stderr is not None
        port = await _port(process.stderr)
        draining = asyncio.create_task(process.stderr.read())
        yield Registry(process, port, "http" if tls is None else "https")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if draining is not None:
            await draining


async def _port(log: asyncio.StreamReader) -> int:
    lines = []
    async for line in log:
        lines.append(line)
        found = re.search(rb"listening on 127\.0\.0\.1:(\d+)", line)
        if found:
            return int(found[1])
    raise AssertionError(b"".join(lines).decode())


class Layout:
    """An OCI image layout, written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def image(self, content: str, *, created: str | None = None, architecture: str = "amd64") -> dict[str, Any]:
        """Write an image with one layer, and return what an index says of it."""
        layer = self._blob(content.encode(), f"{OCI}.layer.v1.tar")
        config: dict[str, Any] = {
            "os": "linux",
            "architecture": architecture,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        if created is not None:
            config["created"] = created
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self._json(config, f"{OCI}.config.v1+json"),
            "layers": [layer],
        }
        written = self._json(manifest, f"{OCI}.manifest.v1+json")
        return {**written, "platform": {"os": "linux", "architecture": architecture}}

    def index(self, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write an index of `images`, and return what another index says of it."""
        media_type = f"{OCI}.index.v1+json"
        return self._json({"schemaVersion": 2, "mediaType": media_type, "manifests": images}, media_type)

    def name(self, descriptor: Mapping[str, Any]) -> Path:
        """Make the descriptor's image or index the one that is pushed."""
        named = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": "image"}}
        named.pop("platform", None)
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        return self.folder

    def _json(self, value: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        return self._blob(json.dumps(value).encode(), media_type)

    def _blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def image(folder: Path, content: str, **more: str) -> Path:
    """Write a layout with one image in it, to be pushed."""
    layout = Layout(folder / f"layout-{content}")
    return layout.name(layout.image(content, **more))


def configure(folder: Path, url: str, images: str, *, registry: str = "", more: str = "") -> Path:
    """Write a configuration with one registry; `registry` and `more` are lines for it and for the whole."""
    path = folder / "oci.yaml"
    path.write_text(
        f'registries:\n  - name: main\n    url: "{url}"\n    repositories: ["team/*"]\n{registry}'
        f"images: {images}\n{more}"
    )
    return path


@contextlib.asynccontextmanager
async def attached(path: Path) -> AsyncIterator[FakeHub]:
    """Run the backend of the configuration at `path`, attached to a hub."""
    oci = OciBackend.open(path)
    try:
        async with harness(Backend(function=oci.answer, name="oci", application_sets=oci.application_sets)) as hub:
            yield hub
    finally:
        await oci.close()


def documented(page: Path, name: str) -> str:
    """Return the YAML file `name` of a page of the documentation."""
    found = re.search(rf"^```yaml\n(# {re.escape(name)}\n.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{page} has no {name}"
    return found[1]

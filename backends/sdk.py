"""The SDK as a wheel, for the authors of backends: made from the package that is installed with this command.

``appset-hub-sdk`` is on no index, and anybody could register the name there. So a backend's project keeps the wheel and
installs it by its path and hash. Equal packages make equal wheels, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from importlib.resources.abc import Traversable

_SHIPPED_BY = "appset-hub"
_NAME = "appset_hub_sdk"
_SUMMARY = "Write backends for AppSet Hub: ApplicationSet plugins over gRPC"
_NEEDS = ("grpcio", "protobuf")
_HEALTH = ("grpcio-health-checking", "grpcio-reflection")
_SUFFIXES = (".py", ".pyi", ".typed")

_REMARK = """\
# The SDK of AppSet Hub, by path and hash, as "appset-hub-backend sdk" prints it. It is on no index, and anybody could
# register its name there: install this file with --no-deps, and never the SDK by name.
"""

# Zip files know no time before it. A fixed one, and no compression, so that the bytes depend on the files alone.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel: the name of its file, and what is in it."""

    file: str
    content: bytes

    def write(self, folder: Path) -> Path:
        """Write it into a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file
        path.write_bytes(self.content)
        return path

    def requirements(self, folder: str) -> str:
        """A requirements file that installs it from ``folder``, and nothing but it."""
        return f"{_REMARK}./{folder}/{self.file} --hash=sha256:{hashlib.sha256(self.content).hexdigest()}\n"


@click.command()
@click.option("--folder", default="vendor", show_default=True, help="Where to write it, from the project's root.")
def sdk(folder: str) -> None:
    """Write the SDK's wheel, and print a requirements file that installs it.

    appset-hub-backend sdk > requirements/sdk.txt
    """
    wheel = sdk_wheel()
    wheel.write(Path(folder))
    click.echo(wheel.requirements(folder), nl=False)


def sdk_wheel() -> Wheel:
    """The wheel of the SDK that is installed here."""
    shipped_by = distribution(_SHIPPED_BY)
    information = f"{_NAME}-{shipped_by.version}.dist-info"
    content = dict(_modules(files("appset_hub"), "appset_hub"))
    content[f"{information}/licenses/LICENSE"] = (shipped_by.read_text("licenses/LICENSE") or "").encode()
    content[f"{information}/METADATA"] = _metadata(shipped_by.metadata).encode()  # type: ignore[arg-type]  # a Message.
    content[f"{information}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: appset-hub-backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    content[f"{information}/RECORD"] = _record(content, f"{information}/RECORD").encode()
    return Wheel(file=f"{_NAME}-{shipped_by.version}-py3-none-any.whl", content=_zip(content))


def _modules(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _modules(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(_SUFFIXES):
            yield f"{path}/{entry.name}", entry.read_bytes()


def _metadata(hub: Message) -> str:
    """As the SDK's own, with the requirements that the hub's distribution declares for it."""
    needs = {
        re.split(r"[^\w.-]", need, maxsplit=1)[0]: need for need in hub.get_all("Requires-Dist", []) if ";" not in need
    }
    lines = [
        "Metadata-Version: 2.4",
        "Name: appset-hub-sdk",
        f"Version: {hub['Version']}",
        f"Summary: {_SUMMARY}",
        f"Author: {hub['Author']}",
        f"License-Expression: {hub['License-Expression']}",
        "License-File: LICENSE",
        f"Requires-Python: {hub['Requires-Python']}",
        *(f"Requires-Dist: {needs[name]}" for name in _NEEDS),
        "Provides-Extra: health",
        *(f'Requires-Dist: {needs[name]}; extra == "health"' for name in _HEALTH),
    ]
    return "\n".join(lines) + "\n"


def _record(content: dict[str, bytes], own: str) -> str:
    lines = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in content.items()]
    return "\n".join([*lines, f"{own},,"]) + "\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zip(content: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, data in content.items():
            entry = zipfile.ZipInfo(path, _TIME)
            entry.create_system = 3  # Unix, wherever it is made.
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return made.getvalue()

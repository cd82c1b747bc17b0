"""`appset-hub-backend new`: a backend of your own, in a folder of its own, that works, is tested and can be packaged.

The files are in `template`: `module` in a path, and `$name` and `$module` in a text, become the new backend's. The
SDK's wheel is written beside them: its name must not be looked up on an index.
"""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import click

from backends.sdk import sdk_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z")

# A module of one of these names would hide another one: Python's, or one of the packages that the template locks.
_TAKEN = {
    *keyword.kwlist,
    *sys.stdlib_module_names,
    *("appset_hub", "google", "grpc", "typing_extensions"),
    *("_pytest", "iniconfig", "packaging", "pip", "pluggy", "py", "pygments", "pytest", "setuptools", "tests"),
}

# pip would take a project of one of these names for the package that the backend needs, and replace it.
_OWN = {"appset-hub", "appset-hub-sdk"}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)

_VENDOR = "vendor"

# setuptools leaves out files that begin with a dot.
_HIDDEN = {"gitignore": ".gitignore"}

# So that no tool takes a template for a file of this project.
_SUFFIX = ".txt"


@click.command()
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write it. Default: a folder called NAME.",
)
def new(name: str, folder: Path | None) -> None:
    """Write a new backend in Python called NAME: module, test, package, image, and the SDK to install."""
    if not _NAME.match(name):
        raise click.UsageError(f'"{name}" must be lower-case letters, digits and "-", and begin with a letter')
    module = name.replace("-", "_")
    if module in _TAKEN:
        raise click.UsageError(f'"{name}" would hide the Python module "{module}"; choose another name')
    template = files(__name__) / "template"
    if name in _OWN | _locked(template):
        raise click.UsageError(f'"{name}" is the name of a package that the backend needs; choose another name')
    place = folder if folder is not None else Path(name)
    if place.exists() and any(place.iterdir()):
        raise click.UsageError(f'"{place}" is not empty; nothing was written')
    wheel = sdk_wheel()
    words = {"name": name, "module": module, "sdk": wheel.requirements(_VENDOR)}
    for path, text in _texts(template, Path()):
        target = place / _HIDDEN.get(str(path), str(path).replace("module", module))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(text).substitute(words), encoding="utf-8")
    wheel.write(place / _VENDOR)
    click.echo(f"{place}: a new backend; {place / 'README.md'} says how to run, test and package it")


def _locked(template: Traversable) -> set[str]:
    """The packages that a new backend installs, to run and for its tests."""
    texts = (file.read_text(encoding="utf-8") for file in (template / "requirements").iterdir())
    return {found.lower().replace("_", "-").replace(".", "-") for text in texts for found in _PIN.findall(text)}


def _texts(folder: Traversable, path: Path) -> Iterator[tuple[Path, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")

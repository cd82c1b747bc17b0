"""Wherever a lock is installed, it is installed as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.install.installing import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = {"", ".md", ".py", ".sh", ".txt", ".toml", ".yaml"}
FOLDERS = (".ci", "backends", "bench", "deploy", "docs", "examples", "sdk", "tools", "tests/deploy", "tests/argocd")
INSTALLS_A_LOCK = re.compile(r"pip3?[\"', ]+install\b(?=.*(?:requirement\b|-r\b|require-hashes)).*")
NEEDED = ("--no-deps", "--require-hashes", "--only-binary=:all:")


def commands() -> dict[str, str]:
    """Each line that installs a lock with pip, by its place."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    paths += [path for path in ROOT.iterdir() if path.is_file()]
    found: dict[str, str] = {}
    for path in paths:
        if path.is_file() and path.suffix in SUFFIXES and not _is_fetched(path):
            text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
            found |= {f"{path.relative_to(ROOT)}: {line}": line for line in INSTALLS_A_LOCK.findall(text)}
    return found


def _is_fetched(path: Path) -> bool:
    """Whether it is not ours: packages, and what the bench keeps."""
    inside = path.relative_to(ROOT).parts[1:]
    return "node_modules" in inside or any(part.startswith(".") for part in inside)


@pytest.mark.parametrize("place", commands())
def test_a_command_that_installs_a_lock_does_not_resolve_it(place: str) -> None:
    assert [option for option in NEEDED if option not in place] == []


def test_the_image_checks_what_it_has_installed() -> None:
    assert any(place.startswith("deploy/Containerfile") for place in commands())
    assert "pip check" in (ROOT / "deploy" / "Containerfile").read_text()


@pytest.mark.parametrize("path", ["Makefile", "bench/needs.py", "tests/deploy/install.py"])
def test_the_rest_leaves_it_to_one_tool(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "environment.py" in text
    assert "venv.create" not in text
    assert not re.search(r"pip\W+install", text)

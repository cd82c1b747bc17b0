"""The code of the documentation runs as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from appset_hub.testing import FakeHub

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "python"
INSTALL = r"\b(?:pip|pipx|uv tool|uv pip)\b[^`\n]* (?:install|download)\b"
BY_NAME = re.compile(INSTALL + r"""[^`\n]*[ "']appset[-_]hub(?:[-_]sdk)?(?:[\["' =<>~]|$)""")
PAGES = [ROOT / "docs" / "writing-a-backend.md", ROOT / "sdk" / "python" / "README.md"]


def blocks(page: Path) -> dict[str, str]:
    """Return the Python blocks of a page, by the file name in their first line."""
    found = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(found) == page.read_text().count("```python")
    return dict(found)


async def python(*arguments: str, cwd: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_every_block_can_be_imported_and_its_tests_pass(page: Path, tmp_path: Path) -> None:
    named = blocks(page)
    for name, code in named.items():
        (tmp_path / name).write_text(code)
    modules = ", ".join(name.removesuffix(".py") for name in named if not name.startswith("test_"))
    process = await python("-W", "error", "-c", f"import {modules}", cwd=tmp_path)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    if any(name.startswith("test_") for name in named):
        process = await python("-m", "pytest", "-q", "-p", "no:asyncio", cwd=tmp_path)
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_documentation_and_the_example_are_the_same(page: Path) -> None:
    named = blocks(page)
    for name in named.keys() & {"images.py", "test_images.py"}:
        assert named[name] == (EXAMPLES / name).read_text()


async def test_the_first_backend_attaches_and_answers() -> None:
    hub = FakeHub()
    async with hub.serving():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "images.py", cwd=EXAMPLES, env={**os.environ, "HUB": hub.address}
        )
        await hub.attached()
        assert await hub.ask("fb-1", {"branch": "feature"}) == [{"branch": "feature", "digest": "sha256:9b7c0d"}]
        process.terminate()
        assert await process.wait() == 0


def test_no_page_and_no_template_installs_from_an_index_what_is_not_there() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.txt", "*Containerfile*"], cwd=ROOT, capture_output=True, check=True
    )
    lines = {
        f"{file}: {line}"
        for file in listed.stdout.decode().split()
        for line in (ROOT / file).read_text().replace("\\\n", " ").splitlines()
        if BY_NAME.search(line)
    }
    assert lines == set()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("$ pip install appset-hub-sdk", True),
        ('`pip install "appset-hub-sdk[health]"`', True),
        ("RUN pip install --no-cache-dir appset_hub==0.1.0", True),
        ("$ pipx install appset-hub", True),
        ("$ pipx install dist/appset_hub-0.1.0-py3-none-any.whl", False),
        ("$ pip install CLONE/sdk/python", False),
        ("$ /opt/appset-hub/bin/pip install --requirement requirements/run.txt", False),
    ],
)
def test_the_check_of_the_pages_knows_a_name_from_a_path(line: str, *, wrong: bool) -> None:
    assert bool(BY_NAME.search(line)) == wrong

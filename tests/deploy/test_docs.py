"""The pages about installing, connecting and mending, against what is there."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from hub.cli import main
from hub.core.errors import HubError, leaves
from tests.deploy.rendering import KUSTOMIZE_FOLDER, ROOT, render

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
PAGES = ("install.md", "connect-argocd.md", "troubleshooting.md")
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()

LEAVES = {leaf.reason: leaf for leaf in leaves(HubError)}


def test_a_copy_of_the_overlay_renders_with_the_lines_that_the_page_shows(tmp_path: Path) -> None:
    shown, *_ = re.findall(
        r"^```yaml\n(resources:.*?)^```$", (DOCS / "install.md").read_text(), re.MULTILINE | re.DOTALL
    )
    production = KUSTOMIZE_FOLDER / "overlays" / "production"
    shutil.copytree(KUSTOMIZE_FOLDER, tmp_path / "deploy" / "kustomize")
    shutil.copytree(production, tmp_path / "my-overlay")
    file = tmp_path / "my-overlay" / "kustomization.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | yaml.safe_load(shown)))
    assert render(tmp_path / "my-overlay") == render(production)


def test_the_hubs_own_secret_is_applied_wherever_a_page_sets_it() -> None:
    page = (DOCS / "connect-argocd.md").read_text()
    assert len(re.findall(r"argocd secret[^|\n]*\| kubectl apply --filename -", page)) == 2
    assert not re.search(r"argocd secret[^|\n]*\| kubectl create", page)


def entries() -> dict[str, str]:
    """The entries of the page, by reason code."""
    parts = re.split(r"^### (\w+)$", TROUBLESHOOTING, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_reason_code_has_one_entry_and_no_entry_is_of_another_world() -> None:
    found = re.findall(r"^### (\w+)$", TROUBLESHOOTING, flags=re.MULTILINE)
    assert sorted(found) == sorted(LEAVES)


@pytest.mark.parametrize("reason", LEAVES)
def test_an_entry_opens_with_the_message_and_its_status_and_says_what_to_do(reason: str) -> None:
    _, message, *rest = entries()[reason].split("\n\n")
    assert message.startswith(f"> {LEAVES[reason].status}: ")
    assert "\n" not in message
    assert rest[0].strip()


def test_the_table_leads_to_every_entry_with_its_status() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| \[(\w+)\]\(#(\w+)\) \|$", TROUBLESHOOTING, flags=re.MULTILINE)
    assert {(reason, anchor, int(status)) for status, reason, anchor in rows} == {
        (leaf.reason, leaf.reason, leaf.status) for leaf in LEAVES.values()
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_heading_that_a_page_leads_to_is_there(page: str) -> None:
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        there = (DOCS / file if file else DOCS / page).read_text()
        headings = {
            re.sub(r"[^\w-]", "", head.lower().replace(" ", "-"))
            for head in re.findall(r"^#+ (.+)$", there, re.MULTILINE)
        }
        assert not anchor or anchor in headings, target
    for path in re.findall(r"\bdeploy/[\w./-]+", text):
        assert (ROOT / path.rstrip(".")).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_hub_that_a_page_tells_exists_with_its_options(page: str) -> None:
    text = (DOCS / page).read_text()
    lines = re.findall(r"(?:^\$|--) (?:\.venv/bin/)?appset-hub ([a-z].*)$", text, flags=re.MULTILINE)
    lines += re.findall(r"`appset-hub ([a-z][^`]*)`", text)
    for line in lines:
        words = shlex.split(line.partition(" |")[0])
        command = []
        group = main
        while words and hasattr(group, "commands") and words[0] in group.commands:
            command.append(words.pop(0))
            group = group.commands[command[-1]]  # type: ignore[assignment]  # a command, in the end
        assert command, line
        shown = CliRunner().invoke(main, [*command, "--help"]).output
        for word in words:
            assert not word.startswith("-") or word in shown, f"{word} in {line}"

"""The keys that identify a set, in the configuration of each bundled backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backends.http_plugin.config import read as read_plugin
from backends.mistakes import Mistake
from backends.oci.reading import read as read_oci
from backends.static import StaticBackend

if TYPE_CHECKING:
    from pathlib import Path

STATIC = "unique_by: [name]\nanswers:\n  - parameters: [%s]\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "backend.yaml"
    file.write_text(text)
    (folder / "token").write_text("secret\n")
    return file


def test_static_declares_its_keys(tmp_path: Path) -> None:
    path = write(tmp_path, STATIC % "{name: a}, {name: b}")
    assert StaticBackend.open(path).unique_by == ("name",)


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        ("{name: a}, {name: a, x: y}", r"answers\[0\]: sets 1 and 2 have equal values under unique_by \(name\)"),
        ("{name: a}, {x: y}", r'answers\[0\]: set 2 has no value under "name", a key of unique_by'),
        ('{name: ""}', r'answers\[0\]: set 1 has no value under "name"'),
    ],
    ids=["twice", "missing", "empty"],
)
def test_static_refuses_sets_that_the_hub_would_refuse(tmp_path: Path, sets: str, problem: str) -> None:
    with pytest.raises(Mistake, match=problem):
        StaticBackend.open(write(tmp_path, STATIC % sets))


async def test_other_keys_need_a_restart_of_static(tmp_path: Path) -> None:
    path = write(tmp_path, STATIC % "{name: a}")
    static = StaticBackend.open(path)
    write(tmp_path, (STATIC % "{id: a}").replace("[name]", "[id]"))
    await static.refresh()
    assert static.unique_by == ("name",)


def test_http_plugin_and_oci_declare_theirs(tmp_path: Path) -> None:
    plugin = write(tmp_path, "unique_by: [name]\nbase_url: http://localhost:1\ntoken_file: token\n")
    assert read_plugin(plugin).unique_by == ("name",)
    images = write(
        tmp_path,
        "unique_by: [branch]\necho: [branch]\nregistries: [{name: r, url: 'http://localhost:1', repositories: ['*']}]\n"
        "images: [{key: digest, registry: r, repository: a, tag: latest}]\n",
    )
    assert read_oci(images).unique_by == ("branch",)

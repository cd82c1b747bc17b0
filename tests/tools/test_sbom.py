"""The bill of materials lists what the lock admits, and the same lock gives the same bill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements/run.txt").read_text("utf-8")


def written(folder: Path) -> bytes:
    file = folder / "new" / "bill.json"
    subprocess.run([sys.executable, ROOT / "tools/sbom.py", file], check=True, cwd=folder)
    return file.read_bytes()


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(tmp_path_factory.mktemp("bill")))
    return found


def test_every_locked_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    pins = [line.split("==")[0].split("[")[0] for line in LOCK.splitlines() if "==" in line and line[0].isalnum()]
    names = [one["name"] for one in bill["components"]]
    assert names == sorted(pin.lower().replace("_", "-") for pin in pins)
    hashes = sum(len(one["properties"]) for one in bill["components"])
    assert hashes == LOCK.count("--hash=sha256:") > 100
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in bill["components"])


def test_it_has_what_the_format_requires(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["serialNumber"].startswith("urn:uuid:")
    references = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert len(references) == len(bill["components"]) + 1
    assert {reference for one in bill["dependencies"] for reference in (one["ref"], *one["dependsOn"])} == references


def test_the_same_lock_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert written(first) == written(second)

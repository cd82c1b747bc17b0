"""Writes a software bill of materials (CycloneDX 1.6, JSON): what a deployed hub consists of, with the locked hashes.

It is made from the lock alone, so that the same lock gives the same bytes on any machine and any day.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "run.txt"

_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:(?P<digest>[0-9a-f]{64})")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "appset-hub")


def components(lock: str) -> list[dict[str, Any]]:
    """The packages of a lock, sorted by name, each with the SHA-256 of every file that the lock admits."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if requirement := _REQUIREMENT.match(line):
            name, version = requirement["name"].lower().replace("_", "-"), requirement["version"]
            purl = f"pkg:pypi/{name}@{version}"
            found.append(
                {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "properties": []}
            )
        if digest := _HASH.search(line):
            found[-1]["properties"].append({"name": "appset-hub:sha256", "value": digest["digest"]})
    return sorted(found, key=lambda one: str(one["name"]))


def bill(lock: str, version: str) -> dict[str, Any]:
    """The whole document."""
    parts = components(lock)
    hub = f"pkg:generic/appset-hub@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([version, parts]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": hub,
                "name": "appset-hub",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": hub, "dependsOn": [one["bom-ref"] for one in parts]}],
    }


def main() -> None:
    """Write the bill to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="where to write it")
    file: Path = parser.parse_args().file
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill(LOCK.read_text("utf-8"), version), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

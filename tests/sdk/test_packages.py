"""Both distributions, built as `make dist` does: what they must carry to be passed on."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import HUB, ROOT, SDK, SOURCES, built, files_of, metadata_of, wheel_of

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

LICENSE = (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: wheel_of(name, tmp_path_factory) for name in SOURCES}


@pytest.mark.parametrize("name", SOURCES)
def test_the_wheel_carries_the_licence_and_the_marker_of_its_types(wheels: dict[str, Path], name: str) -> None:
    files = files_of(wheels[name])
    [licence] = [path for path in files if path.endswith(".dist-info/licenses/LICENSE")]
    assert files[licence] == LICENSE
    metadata = metadata_of(wheels[name])
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert [path for path in files if path.endswith("/py.typed")]


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_archive_carries_the_licence(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    [file] = built(name, tmp_path_factory).glob("*.tar.gz")
    with tarfile.open(file) as archive:
        [licence] = [
            member for member in archive.getmembers() if member.name.count("/") == 1 and "LICENSE" in member.name
        ]
        content = archive.extractfile(licence)
        assert content is not None
        assert content.read() == LICENSE


@pytest.mark.parametrize("name", SOURCES)
def test_the_wheel_says_who_made_it_and_for_what(wheels: dict[str, Path], name: str) -> None:
    metadata = metadata_of(wheels[name])
    assert metadata["Author"] == "AppSet Hub maintainers"
    assert "applicationset" in metadata["Keywords"]
    assert "Programming Language :: Python :: 3.11" in metadata.get_all("Classifier", [])


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_of_ours_is_required_because_others_could_register_the_name(wheels: dict[str, Path], name: str) -> None:
    assert [need for need in requirements(metadata_of(wheels[name])) if need.startswith("appset")] == []


def test_the_hubs_wheel_ships_the_sdk_as_the_sdks_own_wheel_does(wheels: dict[str, Path]) -> None:
    shipped, own = (files_of(wheels[name], below="appset_hub/") for name in (HUB, SDK))
    assert shipped == own
    assert own.keys() >= {"appset_hub/__init__.py", "appset_hub/py.typed", "appset_hub/v1/backend_pb2.pyi"}


def test_the_hub_requires_what_the_sdk_that_it_ships_requires(wheels: dict[str, Path]) -> None:
    hub, sdk = (requirements(metadata_of(wheels[name])) for name in (HUB, SDK))
    without_marker = {re.sub(r"\s*;.*", "", need) for need in sdk}
    assert without_marker
    assert without_marker <= set(hub)


def test_the_hubs_wheel_has_the_files_of_the_quick_start(wheels: dict[str, Path]) -> None:
    folder = ROOT / "examples" / "quickstart"
    files = files_of(wheels[HUB], below="hub/cli/quickstart/files/")
    assert files == {f"hub/cli/quickstart/files/{file.name}": file.read_bytes() for file in folder.iterdir()}
    assert "hub/cli/quickstart/files/hub.yaml" in files


def requirements(metadata: Message) -> list[str]:
    return metadata.get_all("Requires-Dist", [])

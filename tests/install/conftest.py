"""What the tests of installing share: a wheel of each pip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.install.installing import PIPS, download

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def pips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each pip, by its requirement."""
    found = {}
    for requirement in PIPS:
        folder = tmp_path_factory.mktemp("pip")
        download(folder, requirement)
        [found[requirement]] = folder.iterdir()
    return found

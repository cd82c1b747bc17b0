"""What the end-to-end tests share: real processes in a folder of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A folder for a configuration; what is started in it ends with the test."""
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A folder and its processes for all tests of a module."""
    made = Rig(tmp_path_factory.mktemp("rig"))
    yield made
    made.close()

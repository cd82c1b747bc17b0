"""What the tests of the commands share: a folder without a configuration, and no settings in the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("HUB") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    return tmp_path

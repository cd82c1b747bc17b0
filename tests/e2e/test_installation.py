"""What a hub says of an environment that is not its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.e2e.support.processes import run
from tests.support.index import add_wheel

if TYPE_CHECKING:
    from tests.e2e.support.rig import Rig


def test_an_sdk_of_another_version_beside_the_hub_is_an_error_that_says_what_to_do(rig: Rig) -> None:
    wheel = add_wheel(rig.folder, "appset-hub-sdk", "99.0", {"appset_hub_of_another_version.py": ""})
    installed = rig.folder / "installed"
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", installed, wheel)
    assert done.code == 0, done
    done = rig.command("serve", "--dev", env={"PYTHONPATH": str(installed)})
    assert done.code == 1
    assert done.err.startswith("error: appset-hub-sdk 99.0 is installed in the environment of appset-hub ")
    assert done.err.endswith("reinstall appset-hub in its own environment\n")

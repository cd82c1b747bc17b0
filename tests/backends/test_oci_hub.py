"""`oci` behind a real hub, before a real registry: what Argo CD gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backends.oci.backend import OciBackend
from tests.backends.oci_rig import configure, documented, image, need_tools, running
from tests.e2e.support.processes import COMMANDS
from tests.e2e.support.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.calls import Reply

MATRIX = """
  - {key: digestFront, repository: team/front, tag: "{branch}"}
  - {key: digestBack, repository: team/back, tag: "{branch}"}"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def sets(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    answer: list[dict[str, Any]] = json.loads(reply.body)["output"]["parameters"]
    return answer


async def test_each_branch_has_its_digests_until_the_registry_is_killed(rig: Rig) -> None:
    need_tools()
    async with running(rig.folder) as registry:
        rig.configure(backends=[rig.backend("oci", application_sets=["fb-*"])])
        hub = rig.hub()
        path = configure(rig.folder, registry.url, MATRIX, more='missing: none\napplication_sets: ["fb-*"]\n')
        options = ("--config", path, "--hub", hub.grpc_address, "--token-file", "tokens/oci")
        backend = rig.start(COMMANDS / "appset-hub-backend", "oci", *options)
        hub.joined("oci")
        digests = {}
        for branch in ("feature-branch-1", "feature-branch-2"):
            for key, repository in (("digestFront", "front"), ("digestBack", "back")):
                pushed = image(rig.folder, f"{repository}-{branch}")
                digests[branch, key] = await registry.push(pushed, f"team/{repository}:{branch}")
        for branch in ("feature-branch-1", "feature-branch-2"):
            expected = {key: digests[branch, key] for key in ("digestFront", "digestBack")}
            assert sets(hub.ask("fb-matrix", {"branch": branch})) == [expected]

        newer = await registry.push(image(rig.folder, "newer"), "team/front:feature-branch-1")
        [answer] = sets(hub.ask("fb-matrix", {"branch": "feature-branch-1"}))
        assert answer == {"digestFront": newer, "digestBack": digests["feature-branch-1", "digestBack"]}

        await registry.kill()
        for branch in ("feature-branch-1", "not-yet-built"):
            reply = hub.ask("fb-matrix", {"branch": branch})
            assert (reply.status, json.loads(reply.body)["error"]) == (502, "backend_failed")
            backend.says('registry "main" cannot be reached')


def test_the_configuration_of_the_documentation_is_taken(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "backends" / "oci.md"
    for name in ("username", "password"):
        (tmp_path / name).write_text("x")
    path = tmp_path / "oci.yaml"
    path.write_text(documented(page, "oci.yaml"))
    assert OciBackend.open(path).application_sets == ("fb-*",)

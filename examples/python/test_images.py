"""The backend of this folder, over real gRPC."""

import asyncio

import pytest
from appset_hub import Backend, InvalidInput
from appset_hub.testing import harness
from images import images


def test_a_branch_has_its_image() -> None:
    """And who asks for another one is told so."""

    async def scenario() -> None:
        async with harness(Backend(function=images, name="images")) as hub:
            assert await hub.ask("fb-matrix", {"branch": "main"}) == [{"branch": "main", "digest": "sha256:4a5e1e"}]
            with pytest.raises(InvalidInput, match="no image"):
                await hub.ask("fb-matrix", {"branch": "nobody's"})

    asyncio.run(scenario())

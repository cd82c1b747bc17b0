"""The digest of the image of a branch."""

import logging
import os

from appset_hub import InvalidInput, Question, serve

DIGESTS = {"main": "sha256:4a5e1e", "feature": "sha256:9b7c0d"}


async def images(question: Question) -> list[dict[str, str]]:
    """Return one parameter set: the branch and its image."""
    branch = question.parameters.get("branch")
    if not isinstance(branch, str) or branch not in DIGESTS:
        raise InvalidInput("there is no image of this branch", path="$.branch")
    return [{"branch": branch, "digest": DIGESTS[branch]}]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    hub = os.environ.get("HUB", "localhost:4356")
    serve(images, name="images", application_sets=["fb-*"], unique_by=["branch"], hub=hub)

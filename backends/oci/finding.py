"""One image of the configuration, for one input: from templates to a digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appset_hub import InvalidInput

from backends.oci.choosing import highest, last, matching
from backends.oci.names import is_tag
from backends.oci.settings import Choice
from backends.oci.versions import Range
from backends.oci.wire import RegistryFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.oci.registry import Registry
    from backends.oci.settings import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The image is there."""

    tag: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """There is certainly no such tag. `text` says which, for people."""

    text: str


async def find(image: Image, parameters: Mapping[str, Any], registry: Registry) -> Found | Missing:
    """Return the digest of `image` for the input `parameters`.

    Raises:
        QuestionFailed: the input is wrong, or the registry failed.
    """
    repository = image.repository.fill_repository(parameters)
    wanted = image.wanted.fill_tag(parameters)
    tag = await _tag(image, repository, wanted, registry)
    digest = await registry.digest(repository, tag) if tag is not None else None
    if tag is None or digest is None:
        sought = f'{image.choice.value} "{wanted}"'
        return Missing(text=f'registry "{image.registry}" has no tag of "{repository}" for {sought}')
    if image.platform is not None:
        digest = await registry.platform_digest(repository, digest, image.platform)
    return Found(tag=tag, digest=digest)


async def _tag(image: Image, repository: str, wanted: str, registry: Registry) -> str | None:
    """Return the tag that is meant, if the repository has one."""
    match image.choice:
        case Choice.TAG:
            if not is_tag(wanted):
                raise InvalidInput(f'"{wanted}" would be the tag, but is none', path="$")
            return wanted
        case Choice.GLOB:
            return last(matching(await registry.tags(repository), wanted))
        case Choice.SEMVER:
            versions = _range(wanted)
            return highest(await registry.tags(repository), versions)
        case Choice.NEWEST:
            tags = matching(await registry.tags(repository), wanted)
            if len(tags) > image.most_candidates:
                raise RegistryFault(
                    image.registry,
                    f'has more than {image.most_candidates} tags of "{repository}" for newest "{wanted}"; '
                    "narrow it, or raise most_candidates",
                )
            return await registry.newest(repository, tags) if tags else None


def _range(text: str) -> Range:
    try:
        return Range.parse(text)
    except ValueError as error:
        raise InvalidInput(f'"{text}" would be the range, but {error}', path="$") from error

"""What one registry has: tags, digests, and what the images behind them are.

Absence is said only when it is certain. A 404 may also come from a proxy, from a registry whose disk is gone, or for
want of a permission: so a tag is missing only if the complete list of tags is there, and lacks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.oci.manifests import (
    ACCEPT,
    ImageFacts,
    Manifest,
    Unreadable,
    digest_of,
    is_platform,
    parse_config,
    parse_manifest,
)
from backends.oci.names import is_digest, is_tag
from backends.oci.recent import Recent
from backends.oci.together import together
from backends.oci.wire import RegistryFault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from backends.oci.asking import Asking
    from backends.oci.wire import Reply

_OK = 200
_NOT_FOUND = 404
_REFUSED = {401, 403}
_MOST_PAGES = 1000
_PAGE = "?n=500"
_MOST_FACTS = 4096


class Registry:
    """One registry."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        # What a digest stands for never changes.
        self._manifests: Recent[tuple[str, str], Manifest] = Recent(_MOST_FACTS)
        self._facts: Recent[tuple[str, str], ImageFacts] = Recent(_MOST_FACTS)

    async def digest(self, repository: str, tag: str) -> str | None:
        """Return the digest of `tag`, or None if there is certainly no such tag.

        Raises:
            QuestionFailed: the registry did not say.
        """
        url = self._asking.url(repository, "manifests", tag)
        reply = await self._asking.head(repository, url, ACCEPT)
        if reply.status == _NOT_FOUND:
            if tag in await self.tags(repository):
                raise self._fault(f'lists the tag "{tag}" of "{repository}", but does not have its manifest')
            return None
        self._expect_ok(reply, repository)
        digest = reply.headers.get("Docker-Content-Digest", "")
        if is_digest(digest):
            return digest
        reply = await self._asking.get(repository, url, ACCEPT)
        self._expect_ok(reply, repository)
        self._parsed_manifest(reply, repository)
        return digest_of(reply.body)

    async def tags(self, repository: str) -> list[str]:
        """Return all tags.

        Raises:
            QuestionFailed: the registry did not give the whole list, or does not know the repository.
        """
        first = self._asking.url(repository, "tags", "list")
        url: str | None = first + _PAGE
        seen: set[str] = set()
        tags: list[str] = []
        while url is not None:
            if url in seen or len(seen) == _MOST_PAGES or not self._asking.is_same_list(url, first):
                raise self._fault(f'gave a list of the tags of "{repository}" that goes on where it must not')
            seen.add(url)
            reply = await self._asking.get(repository, url)
            if reply.status == _NOT_FOUND:
                raise self._fault(f'has no repository "{repository}", or hides it from these credentials')
            self._expect_ok(reply, repository)
            tags += self._parsed_tags(reply, repository)
            url = reply.next_url
        return tags

    async def newest(self, repository: str, tags: Sequence[str]) -> str:
        """Return the one of `tags` whose image was made last.

        Raises:
            QuestionFailed: the registry or its images do not say, or two different ones were made at the same time.
        """
        ranked = sorted(await together(self._dated(repository, tag) for tag in tags), reverse=True)
        made, tag, digest = ranked[0]
        for other_made, other_tag, other_digest in ranked[1:]:
            if other_made == made and other_digest != digest:
                raise self._fault(f'has "{tag}" and "{other_tag}" of "{repository}" made at the same time; use glob')
        return tag

    async def platform_digest(self, repository: str, digest: str, platform: str) -> str:
        """Return the digest of the image for `platform` behind `digest`, which may be an index.

        Raises:
            QuestionFailed: there is none, or the registry did not say.
        """
        manifest = await self._manifest(repository, digest)
        if manifest.children is None:
            found = [digest] if is_platform((await self._image(repository, manifest)).platform, platform) else []
        else:
            found = [child.digest for child in manifest.children if is_platform(child.platform, platform)]
        if len(found) != 1:
            number = "no" if not found else "more than one"
            raise self._fault(f'has {number} image for "{platform}" in "{repository}@{digest}"')
        return found[0]

    async def _dated(self, repository: str, tag: str) -> tuple[datetime, str, str]:
        digest = await self.digest(repository, tag)
        if digest is None:
            raise self._fault(f'lost the tag "{tag}" of "{repository}" while it was asked')
        manifest = await self._manifest(repository, digest)
        created = manifest.created
        if created is None and manifest.children:
            images = [child for child in manifest.children if not child.platform.startswith("unknown")]
            manifest = await self._manifest(repository, (images or list(manifest.children))[0].digest)
            created = manifest.created
        if created is None:
            created = (await self._image(repository, manifest)).created
        if created is None:
            raise self._fault(f'does not say when "{repository}:{tag}" was made; use glob')
        return created, tag, digest

    async def _manifest(self, repository: str, digest: str) -> Manifest:
        kept = self._manifests.get((repository, digest))
        if kept is not None:
            return kept
        reply = await self._asking.get(repository, self._asking.url(repository, "manifests", digest), ACCEPT)
        self._expect_content(reply, repository, digest)
        manifest = self._parsed_manifest(reply, repository)
        self._manifests.put((repository, digest), manifest)
        return manifest

    async def _image(self, repository: str, manifest: Manifest) -> ImageFacts:
        digest = manifest.config_digest
        if digest is None:
            raise self._fault(f'has an index in "{repository}" without an image of its own')
        kept = self._facts.get((repository, digest))
        if kept is not None:
            return kept
        reply = await self._asking.get_blob(repository, digest)
        self._expect_content(reply, repository, digest)
        try:
            facts = parse_config(reply.json_object())
        except Unreadable as error:
            raise self._fault(f'has something in "{repository}" that {error}') from error
        self._facts.put((repository, digest), facts)
        return facts

    def _parsed_tags(self, reply: Reply, repository: str) -> list[str]:
        answer = reply.json_object() or {}
        tags = answer.get("tags", "")
        if tags is None:
            # How some write that there are none.
            return []
        if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
            raise self._fault(f'gave no list of the tags of "{repository}"')
        return tags

    def _parsed_manifest(self, reply: Reply, repository: str) -> Manifest:
        try:
            return parse_manifest(reply.json_object())
        except Unreadable as error:
            raise self._fault(f'has something in "{repository}" that {error}') from error

    def _expect_content(self, reply: Reply, repository: str, digest: str) -> None:
        self._expect_ok(reply, repository)
        if digest_of(reply.body, like=digest) != digest:
            raise self._fault(f'gave something else for "{repository}@{digest}"')

    def _expect_ok(self, reply: Reply, repository: str) -> None:
        if reply.status in _REFUSED:
            raise self._fault(f'refuses these credentials for "{repository}"')
        if reply.status != _OK:
            raise self._fault(f'answered with status {reply.status} for "{repository}"')

    def _fault(self, problem: str) -> RegistryFault:
        return RegistryFault(self._asking.name, problem)

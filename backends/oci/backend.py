"""Answers with the digests of images: one parameter set, complete or not there at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from appset_hub import Answer, InvalidInput

from backends.oci.asking import Asking
from backends.oci.finding import Found, Missing, find
from backends.oci.reading import read
from backends.oci.registry import Registry
from backends.oci.together import together

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from appset_hub import Question

    from backends.oci.settings import Settings


class OciBackend:
    """The registries of one configuration, asked over one session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Made with the first question, for they belong to the loop that asks.
        self._session: aiohttp.ClientSession | None = None
        self._registries: dict[str, Registry] = {}

    @classmethod
    def open(cls, path: Path) -> OciBackend:
        """Read the configuration.

        Raises:
            Mistake: it is wrong.
        """
        return cls(read(path))

    @property
    def application_sets(self) -> tuple[str, ...]:
        """The claim."""
        return self._settings.application_sets

    @property
    def unique_by(self) -> tuple[str, ...]:
        """The keys that identify a parameter set."""
        return self._settings.unique_by

    async def answer(self, question: Question) -> Answer:
        """Return one parameter set with the digest of each image.

        Raises:
            QuestionFailed: the input is wrong, a registry failed, or a tag is missing and that is an error.
        """
        echoed = {key: _required(question, key) for key in self._settings.echo}
        outcomes = await self._find_all(question)
        parameters = dict(echoed)
        for image, outcome in zip(self._settings.images, outcomes, strict=True):
            if isinstance(outcome, Missing):
                # A set without this digest would be a thinned one.
                return self._without(outcome)
            parameters[image.key] = outcome.digest
            if image.tag_key is not None:
                parameters[image.tag_key] = outcome.tag
        return Answer(parameters=[parameters], fresh_for_s=self._settings.fresh_for_s)

    async def watch(self) -> None:
        """Hold the session until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the session; a later question makes another."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _find_all(self, question: Question) -> list[Found | Missing]:
        registries = self._open_registries()
        return await together(
            find(image, question.parameters, registries[image.registry]) for image in self._settings.images
        )

    def _without(self, missing: Missing) -> Answer:
        if self._settings.none_if_missing:
            return Answer(parameters=[], fresh_for_s=self._settings.fresh_for_s)
        raise InvalidInput(missing.text)

    def _open_registries(self) -> dict[str, Registry]:
        if self._session is None:
            # How many requests there are at once is bounded for each registry.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
            self._registries = {
                name: Registry(Asking(registry, self._session)) for name, registry in self._settings.registries.items()
            }
        return self._registries


def _required(question: Question, key: str) -> Any:
    value = question.parameters.get(key)
    if value is None:
        raise InvalidInput("is required", path=f"$.{key}")
    return value

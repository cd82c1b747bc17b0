"""Answers with what the plugin says, or with an error: never with less than the plugin meant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from appset_hub import Answer

from backends.http_plugin.client import PluginClient
from backends.http_plugin.config import Settings, read

if TYPE_CHECKING:
    from pathlib import Path

    from appset_hub import Question


class HttpPluginBackend:
    """One existing plugin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Made with the first question, for it belongs to the loop that asks.
        self._client: PluginClient | None = None

    @classmethod
    def open(cls, path: Path) -> HttpPluginBackend:
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
        """Return the plugin's parameter sets.

        Raises:
            QuestionFailed: the plugin gave none that can be trusted.
        """
        if self._client is None:
            self._client = PluginClient(self._settings)
        return Answer(parameters=await self._client.ask(question), fresh_for_s=self._settings.fresh_for_s)

    async def watch(self) -> None:
        """Hold the session until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the session; a later question makes another."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

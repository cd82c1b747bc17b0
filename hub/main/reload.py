"""Reads the configuration again when one of its files changes, and keeps the old one when the new one is bad.

Nothing is touched before the new configuration is complete. What is not known, because this machine has run out of
something, is tried again.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Literal

from hub.config.mistakes import ConfigurationError
from hub.core.events import ConfigurationReloaded, InternalFault, ReloadStep
from hub.main.reading import CannotFindOut, read
from hub.main.watching import FileWatch, aside

if TYPE_CHECKING:
    from hub.config.load import Source
    from hub.core.settings import Settings
    from hub.main.wiring import Hub

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Reloader:
    """Reads the configuration again when one of its files changes, or when it is told to."""

    def __init__(self, hub: Hub, source: Source, settings: Settings) -> None:
        self._hub = hub
        self._source = source
        self.watch = FileWatch(settings.watched)
        self._due_s: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def reload(self) -> None:
        """Read it again, changed or not."""
        self._due_s = 0.0
        self.watch.look()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            changed = await self.watch.changed()
            if changed:
                self._step("changed", 0.0, ", ".join(changed))
            if changed or (self._due_s is not None and time.monotonic() >= self._due_s):
                self._due_s = None
                await self._reload()

    async def _reload(self) -> None:
        try:
            problem = await self._taken()
            self._pause_s = _FIRST_PAUSE_S
        except CannotFindOut as error:
            problem = str(error)
            self._try_again()
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration stays and the hub goes on.
            problem = f"a defect of the hub: {type(error).__name__}; its log has the details"
            text = traceback.format_exc()
            self._hub.telemetry.emit(InternalFault(where="reload", request_id="", traceback=text))
            self._try_again()
        if problem:
            self._hub.telemetry.emit(ConfigurationReloaded(problem=problem))

    def _try_again(self) -> None:
        self._due_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    async def _taken(self) -> str:
        """Read and apply it; returns why it was not taken, if it was not.

        Raises:
            CannotFindOut: it could not be read.
        """
        started_s = time.monotonic()
        outcome = await read(self._source)
        self._step("parsed", time.monotonic() - started_s, f"{len(outcome.problems)} problems")
        self.watch.read(outcome.watched)
        if outcome.settings is None:
            return "; ".join(outcome.problems)
        started_s = time.monotonic()
        try:
            settings = outcome.settings
            new = await aside(lambda: self._hub.built(settings))
            needs_restart = await self._hub.take(new)
        except ConfigurationError as error:
            return str(error).replace("\n", "; ")
        except OSError as error:
            raise CannotFindOut(f"the new configuration cannot be applied now: {error.strerror}") from error
        self._step("applied", time.monotonic() - started_s)
        self._hub.telemetry.emit(ConfigurationReloaded(needs_restart=needs_restart))
        return ""

    def _step(self, step: Literal["changed", "parsed", "applied"], duration_s: float, detail: str = "") -> None:
        self._hub.telemetry.emit(ReloadStep(step=step, duration_s=duration_s, detail=detail))

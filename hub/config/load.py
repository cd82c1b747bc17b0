"""From ``hub.yaml``, the environment and flags to settings, or to everything that is wrong with them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hub.config.addresses import SQLITE
from hub.config.doubts import report_doubts, report_patterns, report_unknown_keys, report_variables
from hub.config.durations import seconds
from hub.config.files import CannotRead, Files, digest, read_file
from hub.config.mistakes import ConfigurationError, Mistake, limited
from hub.config.reach import report_shadowed, report_unusable
from hub.config.read import ENVIRONMENT_PREFIX, MAX_FILE_BYTES, MINIMAL, Written, examined, scalars, variable_name
from hub.config.resolve import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.config.places import Findings
    from hub.core.settings import Settings

__all__ = ["Report", "Source", "attempt", "check", "load", "seconds"]

_A_MINIMAL_FILE = f"a minimal file is: {MINIMAL}"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configuration comes from. ``flags`` goes from a setting's path to its value."""

    path: Path | None
    flags: Mapping[str, str] = {}
    dev: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: ``settings`` are good if there are no errors.

    ``warnings`` are about what is probably not intended, ``hints`` about what could be better. ``watched`` is as in the
    settings, but it is also there if they are not good.
    """

    settings: Settings | None
    errors: list[Mistake]
    warnings: list[Mistake]
    hints: list[Mistake] = []
    watched: Mapping[str, str] = {}


def load(source: Source, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read, check and resolve a configuration.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    report = _report(source, environment, offline=False)
    if report.errors:
        raise ConfigurationError(report.errors)
    assert report.settings is not None  # noqa: S101 - without errors there are settings.
    return report.settings


def check(source: Source, environment: Mapping[str, str] = os.environ, *, offline: bool = False) -> Report:
    """As ``load``, and whether the store could be written; never raises, and starts nothing.

    ``offline`` reads no file but the configuration itself, for a machine without its secrets.
    """
    try:
        return _report(source, environment, offline=offline, check_store=not offline)
    except ConfigurationError as error:
        return Report(settings=None, errors=error.mistakes, warnings=[])


def attempt(source: Source, environment: Mapping[str, str] = os.environ) -> Report:
    """As ``load``, but never raises ``ConfigurationError``."""
    # Before, so that a change while it is parsed is seen as one.
    before = _digest(source.path)
    try:
        return _report(source, environment, offline=False)
    except ConfigurationError as error:
        return Report(settings=None, errors=error.mistakes, warnings=[], watched=before)


def _digest(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return {str(path): digest(read_file(path, MAX_FILE_BYTES))}
    except CannotRead:
        return {str(path): ""}


def _report(source: Source, environment: Mapping[str, str], *, offline: bool, check_store: bool = False) -> Report:
    written = examined(source.path, environment, source.flags)
    folder = source.path.parent if source.path is not None else Path()
    settings = Resolver(written, Files(folder, offline=offline), dev=source.dev).settings(source.path, folder)
    findings = written.findings
    if not source.dev:
        _check_callable(source, written)
    if check_store:
        _check_store(settings.store.url, findings)
    report_patterns(written.file, findings)
    report_doubts(written.file, findings)
    report_unknown_keys(written.file, findings)
    report_shadowed(written.file, findings)
    report_unusable(written.file, findings)
    names = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX)]
    report_variables(names, (variable_name(setting.path) for setting in scalars()), findings)
    warnings = findings.sorted_warnings()
    settings = replace(settings, warnings=tuple(limited([str(warning) for warning in warnings])))
    return Report(
        settings=settings,
        errors=findings.sorted_errors(),
        warnings=warnings,
        hints=findings.hints,
        watched=settings.watched,
    )


def _check_callable(source: Source, written: Written) -> None:
    if written.file.clients:
        return
    if written.is_empty and source.path is not None:
        reason = f"the file is empty; {_A_MINIMAL_FILE}"
        written.findings.errors.append(Mistake(path="", reason=reason, file=str(source.path)))
    else:
        reason = f"at least one client is required, or nothing can call the hub; {_A_MINIMAL_FILE} (or try --dev)"
        written.findings.wrong(("clients",), reason)


def _check_store(store: str, findings: Findings) -> None:
    fault = _unwritable(Path(store.removeprefix(SQLITE))) if store.startswith(SQLITE) else None
    if fault is not None:
        findings.wrong(("store",), fault)


def _unwritable(path: Path) -> str | None:
    """Why a database cannot be there. SQLite needs its folder too, for the journal; nothing is left in it."""
    try:
        if path.exists() and not path.is_file():
            return f'"{path}" is not a regular file'
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f'"{path}" cannot be written: {path.parent}: {reason}'
    return None if not path.exists() or os.access(path, os.R_OK | os.W_OK) else f'"{path}" cannot be written'

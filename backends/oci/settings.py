"""A configuration, complete and checked. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from backends.oci.names import Template

Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """One registry.

    `url` has no path. `repositories` are the patterns of what may be asked for. `token_origins` may be asked for
    tokens, and see the credentials; `blob_origins` may be where the registry sends for a blob, and see none.
    """

    name: str
    url: str
    repositories: tuple[str, ...]
    username_file: Path | None
    password_file: Path | None
    tls: ssl.SSLContext = field(repr=False)
    token_origins: frozenset[Origin]
    blob_origins: frozenset[Origin]
    timeout_s: float
    max_in_flight: int


class Choice(Enum):
    """How the tag is found."""

    TAG = "tag"
    GLOB = "glob"
    SEMVER = "semver"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image that is asked for. `wanted` is a tag, a pattern or a range, as `choice` says."""

    key: str
    tag_key: str | None
    registry: str
    repository: Template
    choice: Choice
    wanted: Template
    platform: str | None
    most_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the backend was told."""

    application_sets: tuple[str, ...]
    unique_by: tuple[str, ...]
    registries: dict[str, RegistrySettings]
    images: tuple[Image, ...]
    echo: tuple[str, ...]
    none_if_missing: bool
    fresh_for_s: float | None

"""What manifests and image configurations say, as values. Pure.

Formats: OCI image specification 1.1, Docker image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backends.oci.names import is_digest

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join(MANIFESTS)

_CREATED = "org.opencontainers.image.created"


class Unreadable(Exception):
    """Something is not what it should be. The text says what it is, as in: it "is no manifest"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One image of an index. `platform` is `os/architecture`, with `/variant` if there is one."""

    digest: str
    platform: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An index with `children`, or one image with its configuration; neither is there for other artifacts."""

    created: datetime | None
    children: tuple[Child, ...] | None
    config_digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image's configuration says."""

    created: datetime | None
    platform: str


def digest_of(body: bytes, like: str = "sha256:") -> str:
    """Return the digest of `body`, by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def parse_manifest(value: dict[str, Any] | None) -> Manifest:
    """Return what a manifest says.

    Raises:
        Unreadable: it is none.
    """
    if value is None or value.get("schemaVersion") != 2:  # noqa: PLR2004 - the only version that has digests.
        raise Unreadable("is no manifest")
    annotations = value.get("annotations")
    created = parse_time(annotations.get(_CREATED)) if isinstance(annotations, dict) else None
    listed = value.get("manifests")
    if isinstance(listed, list):
        children = tuple(_child(child) for child in listed)
        return Manifest(created=created, children=children, config_digest=None)
    config = value.get("config")
    if not isinstance(config, dict):
        raise Unreadable("is no manifest")
    return Manifest(created=created, children=None, config_digest=_digest(config))


def parse_config(value: dict[str, Any] | None) -> ImageFacts:
    """Return what an image's configuration says.

    Raises:
        Unreadable: it is none.
    """
    if value is None:
        raise Unreadable("is no image configuration")
    return ImageFacts(created=parse_time(value.get("created")), platform=_platform(value))


def is_platform(actual: str, wanted: str) -> bool:
    """Tell whether an image for `actual` is what `wanted` asks for; without a variant, any will do."""
    return actual == wanted or actual.startswith(f"{wanted}/")


def parse_time(text: object) -> datetime | None:
    """Return the time that RFC 3339 text writes, or None."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _child(value: Any) -> Child:
    if not isinstance(value, dict):
        raise Unreadable("is an index that lists something else")
    platform = value.get("platform")
    return Child(digest=_digest(value), platform=_platform(platform) if isinstance(platform, dict) else "")


def _digest(descriptor: dict[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or not is_digest(digest):
        raise Unreadable("refers to something without a digest that can be checked")
    return digest


def _platform(value: dict[str, Any]) -> str:
    parts = (value.get(key) for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if isinstance(part, str) and part)

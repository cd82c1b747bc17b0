"""The configuration of `oci`, as it is written and documented."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Texts = tuple[_Text, ...]


class RegistryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One registry, and what of it may be asked for."""

    name: Annotated[_Text, msgspec.Meta(description="What images and messages call it.")]
    url: Annotated[_Text, msgspec.Meta(description="Where it is: https://HOST[:PORT], or http:// for one without TLS.")]
    repositories: Annotated[
        _Texts,
        msgspec.Meta(
            description="Glob patterns; no other repository is asked for. * does not reach over a /.", min_length=1
        ),
    ]
    username_file: Annotated[_Text | None, msgspec.Meta(description="Holds the user's name. With password_file.")] = (
        None
    )
    password_file: Annotated[
        _Text | None, msgspec.Meta(description="Holds the password or access token. Read whenever it is needed.")
    ] = None
    ca_file: Annotated[
        _Text | None,
        msgspec.Meta(description="Whose certificates to believe, in PEM form, instead of the system's authorities."),
    ] = None
    token_servers: Annotated[
        _Texts,
        msgspec.Meta(description="Besides the registry, who may be asked for tokens, and sees the credentials."),
    ] = ()
    blob_servers: Annotated[
        _Texts,
        msgspec.Meta(description="Besides the registry, where it may send for an image's configuration."),
    ] = ()
    timeout_s: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=600)],
        msgspec.Meta(description="How long one request to it may take, in seconds."),
    ] = 10.0
    max_in_flight: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1000)],
        msgspec.Meta(description="How many requests it has at once, at most."),
    ] = 8


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One digest of the answer: which image it is of. Exactly one of tag, glob, semver and newest."""

    key: Annotated[_Text, msgspec.Meta(description="The parameter that gets the digest.")]
    tag_key: Annotated[_Text | None, msgspec.Meta(description="The parameter that gets the tag, if it is wanted.")] = (
        None
    )
    registry: Annotated[_Text | None, msgspec.Meta(description="Its name. May be left out when there is one only.")] = (
        None
    )
    repository: Annotated[_Text, msgspec.Meta(description="The repository; {input} stands for one part of its path.")]
    tag: Annotated[_Text | None, msgspec.Meta(description="The tag, such as {branch} or main-{commit}.")] = None
    glob: Annotated[
        _Text | None,
        msgspec.Meta(description="A glob pattern, such as {branch}-*: the last tag when numbers count as numbers."),
    ] = None
    semver: Annotated[
        _Text | None, msgspec.Meta(description="A range of versions, such as ^1.4 or ~{line}: the highest in it.")
    ] = None
    newest: Annotated[
        _Text | None, msgspec.Meta(description="A glob pattern: of the tags in it, the image that was made last.")
    ] = None
    platform: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")] | None,
        msgspec.Meta(description="Such as linux/arm64: the digest of that image, not of the index that it is in."),
    ] = None
    most_candidates: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=10_000)],
        msgspec.Meta(
            description="With newest: how many tags are looked into; with more in the pattern it is an error."
        ),
    ] = 100


class OciConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images' digests make up the parameter set."""

    application_sets: Annotated[
        _Texts,
        msgspec.Meta(description="The claim: glob patterns on the names of the ApplicationSets that are served."),
    ] = ()
    unique_by: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        msgspec.Meta(
            description="Keys whose values identify a parameter set, as [name]. The hub then lets a release pass that "
            "changes other values, and refuses an answer whose sets they do not tell apart.",
            max_length=8,
        ),
    ] = ()
    registries: Annotated[tuple[RegistryConfig, ...], msgspec.Meta(description="Who may be asked.", min_length=1)]
    images: Annotated[
        tuple[ImageConfig, ...], msgspec.Meta(description="The digests of the one parameter set.", min_length=1)
    ]
    echo: Annotated[
        _Texts, msgspec.Meta(description="Inputs that the parameter set repeats, for a merge with other backends.")
    ] = ()
    missing: Annotated[
        Literal["error", "none"],
        msgspec.Meta(
            description="What to say when one of the images has no such tag: an error (Argo CD leaves everything as it "
            "is), or that there is no parameter set (Argo CD deletes the Application)."
        ),
    ] = "error"
    fresh_for_s: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None,
        msgspec.Meta(description="How long the hub may reuse an answer without calling the backend, in seconds."),
    ] = None


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return msgspec.json.schema(OciConfig)

"""The configuration of `http-plugin`, and its way from the file to values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from backends.http_plugin.envelope import Empties
from backends.mistakes import Mistake
from backends.peers import load, origin_of, read_secret, trust

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_PATH = "/api/v1/getparams.execute"

_File = Annotated[str, msgspec.Meta(min_length=1)]


class HttpPluginConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the plugin is, and how it is asked."""

    application_sets: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
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
    base_url: Annotated[
        str,
        msgspec.Meta(description="The baseUrl of the plugin's ConfigMap. A path in it is kept.", min_length=1),
    ]
    token_file: Annotated[
        _File,
        msgspec.Meta(
            description="Holds the token that the plugin expects, relative to this file. It is read for each question."
        ),
    ]
    ca_file: Annotated[
        _File | None,
        msgspec.Meta(description="Whose certificates to believe, in PEM form, instead of the system's authorities."),
    ] = None
    timeout_s: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=3600)],
        msgspec.Meta(description="How long the plugin may take for one answer, in seconds, its body included."),
    ] = 20.0
    max_answer_bytes: Annotated[
        Annotated[int, msgspec.Meta(ge=1024, le=268_435_456)],
        msgspec.Meta(description="The largest answer that is read, in bytes, after decompression."),
    ] = 16_777_216
    fresh_for_s: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None,
        msgspec.Meta(
            description="How long the hub may reuse an answer without calling the backend, in seconds; at most the "
            "hub's cache.max."
        ),
    ] = None
    accept_null_parameters: Annotated[
        bool,
        msgspec.Meta(description='Accept {"output": {"parameters": null}} as "no parameter sets"; default: an error.'),
    ] = False
    accept_missing_parameters: Annotated[
        bool,
        msgspec.Meta(description='Accept {"output": {}} as "no parameter sets"; default: an error.'),
    ] = False
    accept_null_output: Annotated[
        bool,
        msgspec.Meta(description='Accept {"output": null} as "no parameter sets"; default: an error.'),
    ] = False
    accept_missing_output: Annotated[
        bool,
        msgspec.Meta(description='Accept {} as "no parameter sets"; default: an error.'),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A configuration, complete and checked. Without `tls` the plugin is asked over plain HTTP."""

    application_sets: tuple[str, ...]
    unique_by: tuple[str, ...]
    url: str
    token_file: Path
    tls: ssl.SSLContext | None = field(repr=False)
    timeout_s: float
    max_answer_bytes: int
    fresh_for_s: float | None
    empties: Empties


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return msgspec.json.schema(HttpPluginConfig)


def read(path: Path) -> Settings:
    """Read the configuration at `path`; its token is looked at, too, so that a wrong file is found at the start.

    Raises:
        Mistake: something is wrong with one of the files.
    """
    config = load(path, HttpPluginConfig)
    try:
        scheme, _, _ = origin_of(config.base_url)
    except ValueError as error:
        raise Mistake(path, f"base_url: {error}") from error
    if config.ca_file is not None and scheme == "http":
        raise Mistake(path, "ca_file: is of no use with http; say https in base_url")
    token_file = path.parent / config.token_file
    read_secret(token_file)
    ca_file = path.parent / config.ca_file if config.ca_file is not None else None
    return Settings(
        application_sets=config.application_sets,
        unique_by=config.unique_by,
        url=config.base_url.rstrip("/") + _PATH,
        token_file=token_file,
        tls=trust(ca_file) if scheme == "https" else None,
        timeout_s=config.timeout_s,
        max_answer_bytes=config.max_answer_bytes,
        fresh_for_s=config.fresh_for_s,
        empties=Empties(
            null_parameters=config.accept_null_parameters,
            missing_parameters=config.accept_missing_parameters,
            null_output=config.accept_null_output,
            missing_output=config.accept_missing_output,
        ),
    )
